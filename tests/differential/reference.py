"""The other implementation: joserfc, told to be as strict as the policy says."""

import warnings
from typing import Any, Optional

from joserfc import jwk, jwt
from joserfc.jwk import GuestProtocol
from joserfc.jws import JWSRegistry

from policies import AUDIENCES, LEEWAY, NOW, Policy

# Where to get a key or the key itself: a strict policy refuses them.
KEY_MEMBERS = ["jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"]
# It says so for EdDSA, whose name RFC 9864 deprecates.
warnings.filterwarnings("ignore", module="joserfc")


class NoKey(Exception):
    """No key of the issuer is for this token."""


class NotAccepted(Exception):
    """A rule of the policy that joserfc leaves to its caller."""


class Reference:
    """joserfc with the keys and rules of one issuer."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        # Members that it does not know are ignored (RFC 7515 section 4), but for those in `crit`.
        self._registry = JWSRegistry(algorithms=policy.algorithms, strict_check_header=False)
        self._registry.max_header_length = self._registry.max_payload_length = 8192
        self._keys = [(key.kid, key.algorithm, jwk.import_key(key.jwk())) for key in policy.keys]
        required: dict[str, Any] = {name: {"essential": True} for name in policy.required_claims}
        self._claims = jwt.JWTClaimsRegistry(now=NOW, leeway=LEEWAY, **{
            **required, "iss": {"essential": True, "value": policy.issuer},
            "aud": {"essential": True, "values": AUDIENCES}, "exp": {"essential": True},
        })

    def refusal(self, token: bytes) -> Optional[str]:
        """The name of the exception that refuses the token; none: it is accepted."""
        try:
            decoded = jwt.decode(token, self._key, registry=self._registry)
            self._check_header(decoded.header)
            self._claims.validate(decoded.claims)
        except (Exception, RecursionError) as error:  # Whatever it raises is how it refuses.
            return type(error).__name__
        return None

    def _key(self, token: GuestProtocol) -> jwk.Key:
        """The one key of the token's `kid` and algorithm, or without `kid` of its algorithm."""
        header = token.headers()
        found = [key for kid, algorithm, key in self._keys
                 if algorithm == header["alg"] and ("kid" not in header or kid == header["kid"])]
        if len(found) != 1:
            raise NoKey
        return found[0]

    def _check_header(self, header: dict[str, Any]) -> None:
        if self._policy.strict_header and any(name in header for name in KEY_MEMBERS):
            raise NotAccepted
        accepted = self._policy.types or [None, "jwt", "at+jwt"]
        found = header.get("typ", None)
        if (found if found is None else short_form(found)) not in accepted:
            raise NotAccepted


def short_form(media_type: str) -> str:
    """Without `application/` and case (RFC 7515 section 4.1.9)."""
    folded = media_type.lower() if media_type.isascii() else media_type
    rest = folded.removeprefix("application/")
    return folded if "/" in rest else rest
