"""What can go wrong on the way to the page, by code."""

from __future__ import annotations

from protocols.errors import ConfigurationError


class PortTakenError(ConfigurationError):
    """The page's address cannot be listened on; readings are received and stored all the same."""

    code = "PLB-C310"
    do = "free the port or set another one in [http], then start the collector again; ingest goes on meanwhile"


class RequestError(ConfigurationError):
    """A parameter of a request does not fit, or is none that the address knows."""

    code = "PLB-C311"
    do = "correct the parameter; /api/openapi.json names what fits"


class HostRefusedError(ConfigurationError):
    """A request under a host name that is not this collector's."""

    code = "PLB-C312"
    do = "use localhost, or add the name to names in [http]"


class MethodRefusedError(ConfigurationError):
    """Something other than reading was asked for."""

    code = "PLB-C313"
    do = "use GET or HEAD: nothing can be changed over HTTP"


class NoSuchAddressError(ConfigurationError):
    """There is nothing at this address."""

    code = "PLB-C314"
    do = "see /api/openapi.json for what there is"


class NoSuchMeterError(ConfigurationError):
    """A meter that nothing is stored of."""

    code = "PLB-C315"
    do = "take the id of a meter from /api/v1/meters"
