"""Sends cases of tests/fuzz to a server that runs: `python -m tests.fuzz URL --seed SEED [--case NUMBER]`."""

import argparse

from tests.fuzz.campaign import Caller, Campaign
from tests.fuzz.case import Case


def main() -> int:
    """Exit code 1 where something was wrong, which is printed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Send strange requests to a registry.")
    parser.add_argument("url", help="http://HOST:PORT of a server on which nothing matters")
    parser.add_argument("--seed", default="1", help="a failure's case is SEED/NUMBER")
    parser.add_argument("--case", type=int, help="send only this one, and print what is sent")
    parser.add_argument("--requests", type=int, default=1000, help="how many, without --case")
    parser.add_argument("--namespace", default="fuzz")
    parser.add_argument("--authorization", default="", help="the header of whoever sends")
    given = parser.parse_args()
    caller = Caller("you", given.authorization)
    campaign = Campaign(given.url, given.seed, (given.namespace,), (caller,))
    if given.case is not None:
        case = Case.make(given.seed, given.case, campaign.flows)
        campaign.show = print
        fault = campaign.play(case)
        faults = [fault] if fault else []
    else:
        faults = campaign.run(given.requests)
    print(f"{campaign.sent} requests, {sorted(campaign.statuses.items())}, {len(faults)} faults")
    for fault in faults:
        print(fault)
    return bool(faults)


if __name__ == "__main__":
    raise SystemExit(main())
