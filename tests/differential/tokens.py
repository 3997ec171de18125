"""Tokens that are good but for one or two mutations, from a seed."""

import json
import random
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, Optional

import signing
from policies import AUDIENCES, LEEWAY, MAX_LIFETIME, NOW, OWN_KEY, POLICIES, PUBLIC, SECRET, STRANGER, Key, b64, unb64

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
ODD_VALUES = [None, True, False, 0, -1, 1.5, "", "x", [], {}, [None], ["x"], "\r\nx: 1", "\x00", "\u00e9", "a" * 300]
NAMES = [*PUBLIC, *SECRET, "none", "None", "NONE", "rs256", "RS256 ", " RS256", "HS256/64", "ES256K", "ES512", "RS1",
         "eddsa", "ED25519", "Ed448", "ML-DSA-44", "", "RS256\x00", None, 5, ["RS256"], {"RS256": 1}, True]
# A second in which something is decided, and those around it.
TIMES = [NOW + at + step for at in (0, LEEWAY, -LEEWAY, 300, MAX_LIFETIME) for step in (-1, -0.5, 0, 0.01, 0.5, 1)]
DATES = [*TIMES, NOW * 1000, 10 * NOW, 0, -1, -0.0, 1e10, 1e19, 1e300, float("nan"), float("inf"), float("-inf"),
         2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 253_402_300_799, 253_402_300_800, str(NOW + 300), "1e9", "",
         None, True, [], {}, [NOW + 300]]
NUMBERS = ["17000003e2", "1.7000003e9", "1700000300.0", "1700000300e0", "1700000300E+0", "170000030000e-2", "1.70000030E9",
           "01700000300", "+1700000300", "1700000300.", ".17e10", "0x6553f22c", "1_700_000_300", "NaN", "Infinity", "1e400",
           "-1e400", "-0", "1700000300 ", "1700000300,", "1700000300/**/", "1" + "0" * 400, "1700000300." + "0" * 400,
           "1700000300." + "9" * 40, "1" + "0" * 5000]


@dataclass
class Draft:
    """A token before it is signed. `header_text`, `claims_text`: their JSON, when it is not simply theirs.

    `signer`, `signs_as`, `salt`, `secret`: who signs and how, when it is not `key` and its algorithm.
    """

    policy: int
    key: Key
    header: dict[str, Any]
    claims: dict[str, Any]
    signer: str = ""
    signs_as: str = ""
    salt: int = -1
    secret: Optional[bytes] = None
    header_text: Optional[bytes] = None
    claims_text: Optional[bytes] = None

    def token(self) -> bytes:
        """The compact form."""
        header = self.header_text if self.header_text is not None else text(self.header)
        claims = self.claims_text if self.claims_text is not None else text(self.claims)
        message = f"{b64(header)}.{b64(claims)}".encode()
        algorithm = self.signs_as or self.key.algorithm
        if self.secret is not None:
            signature = signing.hmac_tag(algorithm, self.secret, message)
        else:
            signature = signing.sign(algorithm, self.signer or self.key.name, message, self.salt)
        return message + b"." + b64(signature).encode()


@dataclass
class Sample:
    """A token for the issuer of `POLICIES[policy]`, with the names of its mutations."""

    policy: int
    algorithm: str
    mutation: str
    token: bytes


def text(value: Any) -> bytes:
    """JSON, with every Unicode character as UTF-8; lone surrogates too."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def good(policy: int, key: Key) -> Draft:
    """A token that both implementations must accept."""
    rules = POLICIES[policy]
    header: dict[str, Any] = {"alg": key.algorithm, "typ": rules.types[0] if rules.types else "JWT"}
    if key.kid is not None:
        header["kid"] = key.kid
    claims = {"iss": rules.issuer, "aud": AUDIENCES[0], "sub": "u1", "client_id": "c1", "jti": "j1", "iat": NOW,
              "exp": NOW + 300, "scope": "orders:read"}
    return Draft(policy, key, header, claims)


# What is done before signing.

def other_algorithm(draft: Draft, rng: random.Random) -> None:
    """Signed as the header says, by the key that the issuer has for that."""
    name = rng.choice([*PUBLIC, *SECRET])
    draft.header["alg"] = draft.signs_as = name
    draft.signer = OWN_KEY[name]
    if rng.random() < 0.5:
        draft.header["kid"] = "key-" + name


def algorithm_is_a_lie(draft: Draft, rng: random.Random) -> None:
    """The header names an algorithm that did not sign."""
    draft.header["alg"] = rng.choice(NAMES)


def public_key_as_secret(draft: Draft, rng: random.Random) -> None:
    """HMAC by what everybody knows (RFC 8725 section 2.1)."""
    draft.header["alg"] = draft.signs_as = rng.choice(SECRET)
    draft.secret = rng.choice(signing.public_texts(draft.key.name))


def key_of_a_stranger(draft: Draft, rng: random.Random) -> None:
    """Of the right kind, and not the issuer's."""
    draft.signer = STRANGER[draft.key.name]


def key_of_another_algorithm(draft: Draft, rng: random.Random) -> None:
    """Signed by a key of the issuer or of another one, of any kind."""
    draft.signer = rng.choice(["r1", "e1", "e384", "ed1", "secret", "r2"])


def salt_of_another_length(draft: Draft, rng: random.Random) -> None:
    """Of PSS; other algorithms have none."""
    draft.salt = rng.choice([0, 1, 20, 31, 32, 48, 64])


def key_id(draft: Draft, rng: random.Random) -> None:
    """Another key's, an odd one, or one that almost is the right one."""
    ids = [key.kid for key in POLICIES[draft.policy].keys]
    draft.header["kid"] = rng.choice([*ids, *ODD_VALUES, "KEY-" + draft.key.algorithm, f"key-{draft.key.algorithm} ",
                                      "../../key", "' OR 1=1 --", "k" * 257])


def no_key_id(draft: Draft, rng: random.Random) -> None:
    """The algorithm alone must name one key."""
    draft.header.pop("kid", None)


def header_member(draft: Draft, rng: random.Random) -> None:
    """A member that must be refused, or must not matter."""
    name = rng.choice(["crit", "b64", "zip", "enc", "cty", "jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "nonce", "ALG", "x"])
    draft.header[name] = rng.choice([*ODD_VALUES, ["b64"], ["exp"], ["x"], ["alg"], "JWT", "DEF", "https://evil.test/jwks",
                                     {"kty": "oct", "k": "AA"}])


def critical_member(draft: Draft, rng: random.Random) -> None:
    """A well-formed `crit` (RFC 7515 section 4.1.11)."""
    name = rng.choice(["b64", "exp", "x", "alg", "kid"])
    draft.header.update({"crit": [name], **({name: rng.choice([True, False, 1])} if name in ("b64", "exp", "x") else {})})


def media_type(draft: Draft, rng: random.Random) -> None:
    """`typ`: usual, of other tokens, odd, or none."""
    draft.header["typ"] = rng.choice(["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/JWT", "JOSE",
                                      "logout+jwt", "dpop+jwt", "application/x/jwt", "at+jwt ", "at\u212ajwt", *ODD_VALUES])
    if rng.random() < 0.2:
        del draft.header["typ"]


def time_claim(draft: Draft, rng: random.Random) -> None:
    """A date on either side of what is accepted, or none at all."""
    draft.claims[rng.choice(["exp", "nbf", "iat"])] = rng.choice(DATES)


def number_text(draft: Draft, rng: random.Random) -> None:
    """A number as JSON may write it, and as it may not."""
    name, number = rng.choice(["exp", "nbf", "iat", "x"]), rng.choice(NUMBERS)
    draft.claims[name] = "NUMBER"
    draft.claims_text = text(draft.claims).replace(b'"NUMBER"', number.encode())


def audience(draft: Draft, rng: random.Random) -> None:
    """Ours, among others, almost ours, or of another type."""
    ours = rng.choice(AUDIENCES)
    draft.claims["aud"] = rng.choice([ours, [ours], ["x", ours], AUDIENCES, [ours, 1], [ours, None], [[ours]], ["x"],
                                      {ours: 1}, ours + "/", ours.upper(), ours + "X", " " + ours, ours[:-1], *ODD_VALUES])


def issuer(draft: Draft, rng: random.Random) -> None:
    """Ours, another one's, almost ours, or of another type."""
    own = POLICIES[draft.policy].issuer
    others = [policy.issuer for policy in POLICIES]
    draft.claims["iss"] = rng.choice([own, own[:-1], own.upper(), own + "\x00", [own], {own: 1}, *others, *ODD_VALUES])


def claim(draft: Draft, rng: random.Random) -> None:
    """A claim that few rules are about has an odd value."""
    name = rng.choice(["sub", "jti", "client_id", "azp", "scope", "scp", "events", "at_hash", "c_hash", "vp", "x", "nonce"])
    draft.claims[name] = rng.choice(ODD_VALUES)


def missing_claim(draft: Draft, rng: random.Random) -> None:
    """One claim is not there."""
    del draft.claims[rng.choice(list(draft.claims))]


def duplicate(draft: Draft, rng: random.Random) -> None:
    """A member twice, in header or claims: the other value before or after, its name maybe escaped."""
    in_header = rng.random() < 0.4
    members = draft.header if in_header else draft.claims
    name = rng.choice(list(members))
    other = rng.choice([members[name], "x", NOW + 600, *NAMES[:10]])
    spelling = json.dumps(name) if rng.random() < 0.6 else '"' + "".join(f"\\u{ord(char):04x}" for char in name) + '"'
    member, body = f"{spelling}:{json.dumps(other)}".encode(), text(members)[1:-1]
    doubled = b"{" + (member + b"," + body if rng.random() < 0.5 else body + b"," + member) + b"}"
    if in_header:
        draft.header_text = doubled
    else:
        draft.claims_text = doubled


def json_form(draft: Draft, rng: random.Random) -> None:
    """Text that only some readers take for JSON, or for this JSON."""
    body = text(draft.claims)
    depth = rng.choice([10, 60, 64, 70, 500])
    nested = body[:-1] + b',"x":' + b"[" * depth + b"]" * depth + b"}"
    draft.claims_text = rng.choice([
        b" \t\r\n" + body + b"\n", b"\xef\xbb\xbf" + body, body + b"\x00", body + b"{}", body + b",", body[:-1], body[:-1] + b",}",
        body[:-1] + b',"x":1/*c*/}', b"[" + body + b"]", b'"' + b64(body).encode() + b'"', b"", b"null", b"{}", nested,
        body.decode().encode("utf-16"), body.decode().encode("utf-16-le"), body.replace(b'"', b"'"), body[:-1] + b',"x":"\xff"}',
        body[:-1] + b',"x":"\\ud800"}', body[:-1] + b',"x":"\\ud83d\\ude00"}', body[:-1] + b',"x":"\t"}',
        body[:-1] + b',"\xc0\xa9":1}', body.replace(b"{", b"{\x0c"), body[:-1] + b',"__proto__":{"aud":"x"}}',
        body[:-1] + b',"":1}', b64(body).encode(), body[:-1] + b',"x":"\xed\xa0\x80"}', body.replace(b"u1", b"\\u0075\\u0031"),
    ])


DRAFTS: list[Callable[[Draft, random.Random], None]] = [
    other_algorithm, algorithm_is_a_lie, public_key_as_secret, key_of_a_stranger, key_of_another_algorithm,
    salt_of_another_length, key_id, no_key_id, header_member, critical_member, media_type, time_claim, number_text, audience,
    issuer, claim, missing_claim, duplicate, json_form,
]


# What is done to the signed token. `other` is another good one of the same issuer.

def bits(token: bytes, other: bytes, rng: random.Random) -> bytes:
    """One to eight bits are flipped."""
    changed = bytearray(token)
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def character(token: bytes, other: bytes, rng: random.Random) -> bytes:
    """One is replaced, left out or put in."""
    at = rng.randrange(len(token))
    new = bytes([rng.choice(ALPHABET + b".=+/ \n")])
    return token[:at] + rng.choice([new, b"", new + token[at:at + 1]]) + token[at + 1:]


def last_characters(token: bytes, other: bytes, rng: random.Random) -> bytes:
    """The last character of a part: some of its bits mean nothing."""
    parts = token.split(b".")
    which = rng.randrange(3)
    parts[which] = parts[which][:-1] + bytes([rng.choice(ALPHABET)])
    return b".".join(parts)


def parts_swapped(token: bytes, other: bytes, rng: random.Random) -> bytes:
    """A part of another good token; now and then in another order."""
    parts, others = token.split(b"."), other.split(b".")
    which = rng.randrange(3)
    parts[which] = others[which]
    if rng.random() < 0.2:
        rng.shuffle(parts)
    return b".".join(parts)


def parts_counted(token: bytes, other: bytes, rng: random.Random) -> bytes:
    """More or fewer of them, or something around the token."""
    header, claims, signature = token.split(b".")
    return b".".join(rng.choice([
        [header, claims], [header, claims, b""], [header, b"", signature], [b"", claims, signature], [token, b""],
        [b"", token], [header, claims, signature, signature], [header, claims, signature, b"", b""], [header, b"", claims, signature],
        [header + b".", claims, signature], [other, token], [b" " + token], [token + b" "], [token + b"\n"], [token + b"\x00"],
    ]))


def base64_form(token: bytes, other: bytes, rng: random.Random) -> bytes:
    """Another spelling of the same bytes."""
    parts = token.split(b".")
    which = rng.randrange(3)
    part = parts[which]
    at = rng.randrange(len(part))
    parts[which] = rng.choice([
        part + b"=", part + b"==", part + b"=" * (-len(part) % 4), part.translate(bytes.maketrans(b"-_", b"+/")),
        *(part[:at] + odd + part[at:] for odd in (b" ", b"\n", b"\r\n", b"\t", b"\x00", b"=", b"%", b"\xc2\xa0")), part + b"A",
    ])
    return b".".join(parts)


def signature(token: bytes, other: bytes, rng: random.Random) -> bytes:
    """Shorter, longer, in another form, or made of zeros."""
    message, _, encoded = token.rpartition(b".")
    found = unb64(encoded.decode())
    half = len(found) // 2
    changed = rng.choice([
        b"", found[:-1], found[1:], found + b"\x00", b"\x00" + found, bytes(len(found)), b"\xff" * len(found), found[::-1],
        found * 2, found[:half], signing.twin(found), signing.der(found), b"\x00" + found[:half] + b"\x00" + found[half:],
        found[half:] + found[:half], bytes(half) + found[half:], found[:half] + bytes(half),
    ])
    return message + b"." + b64(changed).encode()


TEXTS: list[Callable[[bytes, bytes, random.Random], bytes]] = [
    bits, character, last_characters, parts_swapped, parts_counted, base64_form, signature,
]


@dataclass
class Pool:
    """Good tokens, signed once, of each key of each policy."""

    size: int = 12
    _tokens: dict[tuple[int, str], list[bytes]] = field(default_factory=dict)

    def take(self, policy: int, key: Key, rng: random.Random) -> bytes:
        """One of them."""
        name = (policy, key.algorithm)
        if name not in self._tokens:
            self._tokens[name] = []
            for number in range(self.size):
                draft = good(policy, key)
                draft.claims.update(sub=f"u{number}", jti=f"j{number}")
                self._tokens[name].append(draft.token())
        return rng.choice(self._tokens[name])


def samples(count: int, seed: int) -> Iterator[Sample]:
    """So many tokens; the same mutations for the same seed (signatures with random parts differ)."""
    pool = Pool()
    keys = [(number, key) for number, policy in enumerate(POLICIES) for key in policy.keys if key.algorithm in policy.algorithms]
    neighbours = [[key for other, key in keys if other == policy] for policy in range(len(POLICIES))]
    for number in range(count):
        # Each its own: how much one mutation draws depends on signatures, some of which differ from run to run.
        rng = random.Random((seed << 32) + number)
        policy, key = keys[number % len(keys)]
        kind = rng.random()
        if number < len(keys):
            yield Sample(policy, key.algorithm, "good", pool.take(policy, key, rng))
        elif kind < 0.6:
            mutations = rng.sample(DRAFTS, 1 if kind < 0.45 else 2)
            draft = good(policy, key)
            for mutation in mutations:
                mutation(draft, rng)
            yield Sample(policy, key.algorithm, _name(mutations), draft.token())
        else:
            mutations_of_text = rng.sample(TEXTS, 1 if kind < 0.85 else 2)
            token = pool.take(policy, key, rng)
            for change in mutations_of_text:
                try:
                    token = change(token, pool.take(policy, rng.choice([key, *neighbours[policy]]), rng), rng)
                except (ValueError, IndexError):  # The first mutation left nothing that the second one could change.
                    pass
            yield Sample(policy, key.algorithm, _name(mutations_of_text), token)


def _name(mutations: list[Any]) -> str:
    return "two mutations" if len(mutations) > 1 else mutations[0].__name__.replace("_", " ")
