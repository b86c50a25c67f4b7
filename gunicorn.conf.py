"""How gunicorn serves the registry; it reads this file when it is started in this folder.

    gunicorn cnr.api.wsgi:app -b :5000

What is given on its command line wins.
"""

import os
import sys

from cnr.config import Config, ConfigError

try:
    _config = Config.load(os.environ)
except ConfigError as error:
    sys.exit(str(error))

workers = _config.workers
# The registry itself decides whose word about the client counts.
forwarded_allow_ips = ""
if _config.tls_cert and _config.tls_key:
    certfile, keyfile = str(_config.tls_cert), str(_config.tls_key)
# Threads, because a thread waits for its client: with the default kind one slow upload would hold a whole worker.
worker_class = "gthread"
threads = 16
# No limit on a request's time: an upload over a slow line may take minutes. The registry itself gives up on
# clients that send nothing.
timeout = 0
graceful_timeout = 10
keepalive = 75
# The most that gunicorn can: beyond its default of 4,094 it answers long queries with a page of its own.
limit_request_line = 8190
# The registry writes its own log of requests.
accesslog = None
# Newer gunicorns open a socket in the home folder through which they can be commanded; nobody here needs it.
control_socket_disable = True
