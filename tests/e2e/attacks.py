"""Attacks on the read side, as requests on the wire. Each is made twice: a refusal must not come from the cache.

Fay is in the group of the parameter AdminGroups, Ana in another one, Dora in none.
"""

from assertions import expect
from client import order_service_event, reference, token_claims
from stack import PARAMETERS
from viewer import Forger, Viewer, tampered, unsigned

DASHBOARD, ORDERS = "/api/dashboard", "/api/orders"


def attack(report, stack, ana, dora):
    """Runs all attacks. `ana` and `dora` have a sub, and a tab that is signed in."""
    attacks = Attacks(report, stack, ana, dora)
    attacks.with_tokens()
    attacks.on_other_users()
    attacks.with_parameters_and_bodies()
    attacks.on_the_cache()
    attacks.around_cloudfront()
    report.section("After the attacks")
    with report.step("the pages of Ana and Dora are cached as before, with their own data"):
        for user, name in [(ana, "Ana Example"), (dora, "Dora Example")]:
            # The page may have expired in the meantime.
            user["tab"].reload()
            page = user["tab"].reload(), user["tab"].read()["heading"]
            expect(page == ("Hit", f"Hello, {name}"), page)


class Attacks:
    def __init__(self, report, stack, ana, dora):
        self.report, self.stack, self.ana, self.dora = report, stack, ana, dora
        self.viewer, self.forger = Viewer(stack), Forger(stack)
        self.ana_token, self.dora_token = ana["tab"].token(), dora["tab"].token()
        self.secrets = [user["sub"] for user in (ana, dora)]
        self.fay = stack.create_user({"email": "fay@example.com", "email_verified": "true", "name": "Fay"})["sub"]
        stack.set_password("fay@example.com")
        stack.add_to_group("fay@example.com", PARAMETERS["AdminGroups"])
        self.fay_token = stack.sign_in("fay@example.com")["AccessToken"]

    def refused(self, status, path, *arguments, **options):
        """Makes a request twice. Checks that both are refused with the status, uncached, and without anybody's data."""
        answers = [self.viewer.request(path, *arguments, **options) for _ in range(2)]
        for answer in answers:
            expect(answer.status == status, lambda: f"{path} must be refused with {status}: {answers}")
            expect(answer.cache != "Hit", lambda: f"{path} was answered from the cache: {answers}")
            expect("s-maxage" not in answer.headers.get("cache-control", ""), answers)
            expect(not any(secret.encode() in answer.body for secret in self.secrets), answers)
        return answers[0]

    def with_tokens(self):
        report, token = self.report, self.ana_token
        report.section("Attacks with tokens")
        sign, now = self.forger.signed, token_claims(token)["iat"]
        other_pool = self.stack.cognito.create_user_pool(PoolName="foreign")["UserPool"]["Id"]
        client = self.stack.cognito.create_user_pool_client(UserPoolId=self.stack.user_pool, ClientName="foreign")
        foreign_client = client["UserPoolClient"]["ClientId"]
        issuer = token_claims(token)["iss"].replace(self.stack.user_pool, other_pool)
        with report.step("a token that the forger signs passes, so that the next refusals are about its claims"):
            answer = self.viewer.request(DASHBOARD, sign(token))
            expect(answer.status == 200 and answer.json()["user"]["sub"] == self.ana["sub"], answer)
        tokens = {
            "no": None,
            "an empty": "",
            "a malformed": "not.a.token",
            "an expired": sign(token, iat=now - 7200, exp=now - 3600),
            "a tampered": tampered(token, sub=self.dora["sub"]),
            "an unsigned (alg none)": unsigned(token),
            "a foreign client's": sign(token, client_id=foreign_client),
            "a foreign pool's": sign(token, iss=issuer),
            "an ID": self.ana["tab"].token("id_token"),
            "a refresh": self.ana["tab"].token("refresh_token"),
        }
        for name, value in tokens.items():
            with report.step(f"{name} token is refused:") as step:
                headers = [("Authorization", f"Bearer {value}")] if value is not None else []
                step.show(f"401 {self.refused(401, DASHBOARD, headers=headers).body.decode()[:80]}")
        with report.step("two Authorization headers are refused, in both orders"):
            for first, second in [(token, self.dora_token), (self.dora_token, token)]:
                pair = [("Authorization", f"Bearer {value}") for value in (first, second)]
                self.refused(401, DASHBOARD, headers=pair)

    def on_other_users(self):
        report, dora, other = self.report, self.dora_token, self.ana["sub"]
        report.section("Attacks on other users' data")
        with report.step("an administrator reads another user's dashboard, which is never cached"):
            path = f"/api/users/{self.dora['sub']}/dashboard"
            answers = [self.viewer.request(path, self.fay_token) for _ in range(2)]
            expect([answer.status for answer in answers] == [200, 200], answers)
            expect(all(answer.headers["cache-control"] == "no-store" for answer in answers), answers)
            expect(answers[1].cache == "Miss" and answers[1].json()["user"]["sub"] == self.dora["sub"], answers)
        with report.step("a member of another group is no administrator"):
            self.refused(404, path, self.ana_token)
        with report.step("nor is a user who writes the group into the token"):
            groups = {"cognito:groups": [PARAMETERS["AdminGroups"]]}
            self.refused(401, path, tampered(self.ana_token, **groups))
        for view in ("dashboard", "orders", "profile"):
            with report.step(f"/api/users/{{sub}}/{view} is 404 for everybody else, as an unknown path is"):
                answer = self.refused(404, f"/api/users/{other}/{view}", dora)
                expect(answer.body == self.refused(404, "/api/unknown", dora).body, answer)
        with report.step("another user's shared orders are 404 without a permission, as an unknown user's are"):
            answer = self.refused(404, f"/api/orders/shared/{other}", dora)
            unknown = self.refused(404, "/api/orders/shared/00000000-0000-4000-8000-000000000000", dora)
            expect(answer.body == unknown.body, (answer, unknown))
        with report.step("another user's notification cannot be read, and is as unknown as any other"):
            self.refused(404, "/api/notifications/order-1001-confirmed/read", dora, method="POST")
        with report.step("a cursor is a position in the caller's own list: another user's gives nothing"):
            cursor = self.viewer.request(f"{ORDERS}?limit=1", self.ana_token).json()["next"]
            answer = self.viewer.request(f"{ORDERS}?before={cursor}", dora)
            expect(answer.status == 200 and answer.json()["orders"] == [], answer)

    def with_parameters_and_bodies(self):
        report, token = self.report, self.ana_token
        report.section("Attacks with parameters and bodies")
        with report.step("unknown, repeated and invalid query parameters are 400"):
            queries = ["sub=x", "limit=0", "limit=-1", "limit=1000000000", "limit=ten", "limit=1&limit=2", "before=x"]
            for query in [*queries, "before=..%2F..%2FSTATS", "before=0000000000000-zz", "limit", "__proto__=1"]:
                self.refused(400, f"{ORDERS}?{query}", token)
            self.refused(400, f"{DASHBOARD}?{self.dora['sub']}", token)
        with report.step("so is an `after` that is no reference, is given twice, or is on another user's page"):
            own = reference(order_service_event("order-1001-placed", "order.placed", self.ana))
            for query in ["after", "after=", "after=x", "after=%2F", f"after={own}=", f"after={own}&after={own}"]:
                self.refused(400, f"{DASHBOARD}?{query}", token)
            self.refused(400, f"/api/users/{self.dora['sub']}/dashboard?after={own}", self.fay_token)
        with report.step("the `after` of another user's event is as pending as one of an event that does not exist"):
            unknown = reference(order_service_event("unknown", "order.placed", self.dora))
            bodies = []
            for after in (own, unknown, own, unknown):
                answer = self.viewer.request(f"{DASHBOARD}?after={after}", self.dora_token)
                expect(answer.status == 200 and answer.cache == "Miss", answer)
                expect(answer.headers["cache-control"] == "no-store" and answer.json()["isChangePending"], answer)
                expect(answer.json()["user"]["sub"] == self.dora["sub"], answer)
                bodies.append(answer.body)
            expect(len(set(bodies)) == 1, bodies)
        with report.step("other methods are refused"):
            for method in ("POST", "PUT", "PATCH", "DELETE"):
                answer = self.viewer.request(DASHBOARD, token, method=method, body=b"{}")
                expect(answer.status in (404, 405) and answer.cache == "Error", answer)
        json_type = [("Content-Type", "application/json")]
        for text, body in [("of 6 MB", b"x" * 6_000_000), ("without JSON", b"x"), ("with a field", b'{"id": "x"}')]:
            with report.step(f"a body {text} is refused:") as step:
                path = "/api/notifications/order-1001-confirmed/read"
                answer = self.viewer.request(path, token, method="POST", headers=json_type, body=body)
                expect(answer.status in (400, 413) and answer.cache == "Error", answer)
                step.show(str(answer.status))
        with report.step("markup in the path comes back in no answer"):
            answer = self.refused(404, "/api/%3Cscript%3Ealert(1)%3C/script%3E", token)
            expect(b"<script" not in answer.body and "json" in answer.headers["content-type"], answer)

    def on_the_cache(self):
        report, token = self.report, self.ana_token
        report.section("Attacks on the cache")
        names = ["X-Forwarded-Host", "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Forwarded-Prefix"]
        with report.step("headers that name another host, path or method do not reach the read API"):
            for name in names:
                # With an origin that no request had before, the answer does not come from the cache.
                origin = ("Origin", f"https://{name.lower()}.example.com")
                headers = [(name, f"/api/users/{self.dora['sub']}/dashboard"), origin]
                answer = self.viewer.request(DASHBOARD, token, headers=headers)
                expect(answer.status == 200 and answer.cache == "Miss", answer)
                expect(answer.json()["user"]["sub"] == self.ana["sub"], answer)
        with report.step("a foreign origin is a cache key of its own, and gets no CORS headers"):
            answer = self.viewer.request(DASHBOARD, token, headers=[("Origin", "https://evil.example.com")])
            expect(answer.status == 200 and answer.cache == "Miss", answer)
            expect(not any(name.startswith("access-control-") for name in answer.headers), answer)
        with report.step("the ETag of Ana's page does not make Dora's request a 304"):
            etag = self.viewer.request(DASHBOARD, token).headers["etag"]
            answer = self.viewer.request(DASHBOARD, self.dora_token, headers=[("If-None-Match", etag)])
            expect(answer.status == 200 and answer.json()["user"]["sub"] == self.dora["sub"], answer)
        with report.step("a cached page without its token, or with a changed one, is refused"):
            expect(self.viewer.request(DASHBOARD, token).cache == "Hit", "the page is not in the cache")
            self.refused(401, DASHBOARD)
            self.refused(401, DASHBOARD, f"{token}x")
        with report.step("viewers see no cache tags"):
            for path in (DASHBOARD, ORDERS, "/api/profile", "/api/config"):
                answer = self.viewer.request(path, token)
                expect(answer.status == 200 and "cache-tag" not in answer.headers, answer)

    def around_cloudfront(self):
        report, token = self.report, self.ana_token
        report.section("Attacks around CloudFront")
        path = f"/_aws/execute-api/{self.stack.outputs['HttpApiId']}/$default"
        host = f"127.0.0.1:{self.stack.ministack.port}"
        for text, headers in [
            ("without the secret", []),
            ("with a wrong secret", [("X-Origin-Verify", "0" * 32)]),
            ("with an empty secret", [("X-Origin-Verify", "")]),
        ]:
            with report.step(f"the API's own address refuses requests {text}"):
                for route in (DASHBOARD, "/api/config"):
                    self.refused(403, path + route, token, host=host, headers=headers)
        with report.step("CloudFront replaces a secret that a viewer sends"):
            answer = self.viewer.request(DASHBOARD, token, headers=[("X-Origin-Verify", "x")])
            expect(answer.status == 200, answer)
        with report.step("read-api logged the administrator's accesses with both subs, and no name or address"):
            lines = self.stack.log_lines("ReadApiFunction", self.dora["sub"])
            expect(any(self.fay in line for line in lines), lines)
            everything = "\n".join(self.stack.log_lines("ReadApiFunction"))
            for secret in ("@example.com", "Ana Example", "Dora Example", token, PARAMETERS["OriginSecret"]):
                expect(secret not in everything, f"the log contains {secret}")
