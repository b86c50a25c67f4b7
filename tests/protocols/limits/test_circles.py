"""What a refused request brought is let go of with it, and not when Python's collector comes by."""

import gc
from pathlib import Path

import httpx
from tests.protocols.oci.client import MANIFEST, image

from cnr.app import App
from cnr.config import Config
from cnr.domain.errors import CnrError


async def test_an_error_is_gone_with_its_request(tmp_path: Path) -> None:
    app = App(Config.load({"DATABASE_URL": str(tmp_path), "CNR_ACCESS_LOG": "off"}))
    await app.startup()
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            gc.collect()
            before = {id(each) for each in errors()}
            gc.disable()
            for path, data in (("manifests/x", image(b"missing")), ("manifests/x", b"{"), ("manifests/", b"{}")):
                answer = await client.put(f"/v2/a/b/{path}", content=data, headers={"content-type": MANIFEST})
                assert 400 <= answer.status_code < 500
                del answer
            assert [each for each in errors() if id(each) not in before] == []
    finally:
        gc.enable()
        await app.shutdown()


def errors() -> list[CnrError]:
    """All that there are."""
    return [each for each in gc.get_objects() if isinstance(each, CnrError)]
