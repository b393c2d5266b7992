"""Requests of viewers to the distribution, as they are on the wire: also those that no browser sends."""

import base64
import http.client
import json
import ssl
from pathlib import Path
from urllib.parse import urlparse

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

TYPES = {
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


def upload_page(stack, folder):
    """Does what `aws s3 sync` does, without its command line. Returns the number of files."""
    bucket, s3 = stack.outputs["PageBucketName"], stack.ministack.client("s3")
    files = [file for file in sorted(folder.rglob("*")) if file.suffix in TYPES]
    for file in files:
        s3.put_object(
            Bucket=bucket,
            Key=str(file.relative_to(folder)),
            Body=file.read_bytes(),
            ContentType=TYPES[file.suffix],
        )
    return len(files)


class Answer:
    """An answer to a viewer. Header names are in lower case."""

    def __init__(self, response):
        self.status, self.body = response.status, response.read()
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    @property
    def cache(self):
        """Hit, Miss or Error."""
        return self.headers.get("x-cache", "").removesuffix(" from cloudfront")

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:500]}"


class Viewer:
    """A program that talks to the distribution, or to MiniStack under another host name."""

    def __init__(self, stack):
        self.ministack = stack.ministack
        self.host = urlparse(stack.outputs["PageUrl"]).netloc

    def request(self, path, token=None, method="GET", headers=(), body=None, host=None):
        """Sends a request. `headers` is a list of pairs, so that a name can come twice."""
        context = ssl.create_default_context(cafile=self.ministack.certificate)
        connection = http.client.HTTPSConnection("127.0.0.1", self.ministack.port, context=context, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            authorization = [("Authorization", f"Bearer {token}")] if token else []
            length = [("Content-Length", str(len(body)))] if body is not None else []
            for name, value in [("Host", host or self.host), *authorization, *length, *headers]:
                connection.putheader(name, value)
            connection.endheaders(body)
            return Answer(connection.getresponse())
        finally:
            connection.close()


class Forger:
    """Signs tokens with the key of the user pool, which only Cognito has on AWS."""

    def __init__(self, stack):
        pem = Path(stack.ministack.folder) / f"state/cognito-pool-keys/{stack.user_pool}-access.pem"
        self.key = load_pem_private_key(pem.read_bytes(), password=None)

    def signed(self, token, **changes):
        """The token with other claims, and with a signature that is valid for them."""
        header, payload = changed(token, changes)
        signature = self.key.sign(f"{header}.{payload}".encode(), PKCS1v15(), SHA256())
        return f"{header}.{payload}.{encode(signature)}"


def tampered(token, **changes):
    """The token with other claims, and with the signature that it had."""
    return ".".join([*changed(token, changes), token.split(".")[2]])


def unsigned(token):
    """The token without a signature, and with the algorithm `none`."""
    return f"{encode(json.dumps({'alg': 'none', 'typ': 'JWT'}).encode())}.{token.split('.')[1]}."


def changed(token, changes):
    header, payload, _ = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return header, encode(json.dumps(claims).encode())


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
