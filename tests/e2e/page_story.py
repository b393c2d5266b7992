"""The read side of the end-to-end test: people see their pages in Chromium, from a cache as in docs/caching.md.

Ana's pages change: an order, a notification that she reads, a suspension. Dora's pages never do, so nothing invalidates
them.
"""

import re
import time

from assertions import eventually, expect
from attacks import attack
from browser import Browser
from client import PASSWORD, order_service_event, reference, token_claims
from shared_orders import share_orders
from stack import PARAMETERS, PARTNER_ACCOUNT
from viewer import Viewer, upload_page

# The default TokenValidityMinutes of the template, and a minute before: the page then refreshes the tokens.
TOKEN_SECONDS, REFRESH_SECONDS = 3600, 60

MARKUP = "<img src=x onerror=alert(1)>"


def run(report, stack, ana, screenshots):
    """Runs the story. `ana` has two orders, one of them canceled, and an unread notification."""
    serve_page(report, stack)
    dora = sign_up_dora(report, stack)
    browser = Browser(stack.ministack)
    try:
        story = Story(report, stack, browser, ana, dora, screenshots)
        story.see_pages()
        story.order()
        story.mark_as_read()
        story.refresh_tokens()
        attack(report, stack, ana | {"tab": story.ana}, dora | {"tab": story.dora})
        share_orders(report, stack, ana)
        story.sign_out_and_in()
        story.suspend()
    finally:
        browser.stop()


def serve_page(report, stack):
    report.section("Page and security headers")
    viewer = Viewer(stack)
    with report.step("the page is uploaded, and served from the private bucket through the distribution:") as step:
        count = upload_page(stack, stack.page)
        page = viewer.request("/")
        expect(page.status == 200 and b"<!doctype html>" in page.body.lower(), page)
        step.show(f"{count} files")
    with report.step("it has the security headers, and its policy forbids inline scripts and frames:") as step:
        policy = page.headers["content-security-policy"]
        expect("unsafe-inline" not in policy and "frame-ancestors 'none'" in policy, policy)
        for header in ("strict-transport-security", "x-content-type-options", "referrer-policy"):
            expect(header in page.headers, page)
        step.show(policy)
    with report.step("the bucket refuses everyone else"):
        bucket, own_host = stack.outputs["PageBucketName"], f"127.0.0.1:{stack.ministack.port}"
        direct = viewer.request(f"/{bucket}/index.html", host=own_host)
        expect(direct.status == 403, direct)
    with report.step("/api/config names the pool, the client and the login, and is cached for everybody:") as step:
        config = [viewer.request("/api/config") for _ in range(2)]
        expect([answer.cache for answer in config][1] == "Hit", config)
        settings = config[0].json()
        expect(settings["clientId"] == stack.outputs["ManagedLoginClientId"], settings)
        expect(settings["productName"] == PARAMETERS["ProductName"], settings)
        expect("cache-tag" not in config[0].headers, config[0])
        step.show(settings["loginUrl"])


def sign_up_dora(report, stack):
    report.section("Sign-up of Dora")
    email = "dora@example.com"
    with report.step(f"{email} signs up and confirms her account with the code from her email"):
        sub = stack.sign_up(email, "Dora Example")["UserSub"]
        stack.confirm_sign_up(email, re.search(r"\b\d{6}\b", stack.latest_email_to(email)["BodyText"])[0])
    with report.step("post-confirmation creates her profile (invoked by the test)"):
        attributes = {"sub": sub, "email": email, "email_verified": "true", "name": "Dora Example"}
        event = stack.trigger_event("post-confirmation/confirm-sign-up.json", sub, attributes)
        expect(stack.invoke("PostConfirmationFunction", event) == event, "the trigger changed the event")
        stack.wait_for_workers()
    return {"email": email, "sub": sub}


class Story:
    """What happens in the tabs of Ana and Dora."""

    def __init__(self, report, stack, browser, ana, dora, screenshots):
        self.report, self.stack, self.screenshots = report, stack, screenshots
        self.users = {"ana": ana, "dora": dora}
        self.ana = browser.open("ana", stack.outputs["PageUrl"])
        self.dora = browser.open("dora", stack.outputs["PageUrl"])

    def picture(self, tab, name, **options):
        if self.screenshots:
            tab.run("screenshot", path=str(self.screenshots / f"{name}.png"), **options)

    def sign_in(self, tab):
        """Signs in at managed login, whose host it returns."""
        sub = self.users[tab.name]["sub"]
        event = self.stack.trigger_event("pre-authentication/authentication.json", sub, {"sub": sub})
        answer = self.stack.invoke("PreAuthenticationFunction", event)
        expect(answer == event, lambda: f"pre-authentication does not allow the sign-in: {answer}")
        return tab.run("signIn", email=self.users[tab.name]["email"], password=PASSWORD)

    def see_pages(self):
        report = self.report
        report.section("Pages of Ana and Dora in Chromium")
        with report.step("Ana opens the page and is asked to sign in"):
            expect(self.ana.read()["view"] == "sign-in", self.ana.read())
            self.picture(self.ana, "page-sign-in")
        with report.step("she signs in at managed login (pre-authentication is invoked by the test):") as step:
            step.show(self.sign_in(self.ana))
        with report.step("she sees her dashboard, her first request is a Miss:") as step:
            page = self.ana.read()
            expect((page["view"], page["heading"]) == ("dashboard", "Hello, Ana Example"), page)
            expect(page["strip"]["CloudFront"] == "Miss", page)
            expect(page["figures"]["Orders"] == "2, 1 canceled", page)
            expect(page["figures"]["Unread notifications"] == "1" and len(page["notifications"]) == 1, page)
            # The order and its cancellation are two lines, as on a bank statement.
            expect(len(page["orders"]) == 3, page)
            step.show(figures(page))
        with report.step("she reloads: Hit"):
            expect(self.ana.reload() == "Hit", self.ana.read())
        with report.step("Dora signs in: Miss, then Hit"):
            self.sign_in(self.dora)
            expect(self.dora.cache() == "Miss", self.dora.read())
            self.expect_undisturbed_dora()

    def expect_undisturbed_dora(self):
        """Nothing has invalidated Dora's pages. Her page may have expired, so it is a Hit at the second request."""
        invalidations = self.stack.invalidations()
        sub = self.users["dora"]["sub"]
        is_hers = any(sub in item or item in ("/*", "#users") for items in invalidations for item in items)
        expect(not is_hers, invalidations)
        self.dora.reload()
        expect(self.dora.reload() == "Hit", lambda: f"Dora's page is not a Hit: {self.dora.read()}")

    def age_data_of_ana(self):
        """As if Ana's data had not changed for 15 minutes. Then her page lives for 60 s."""
        self.stack.wait_for_workers()
        self.stack.age_data(self.users["ana"]["sub"], 900)
        # The page from before lives for some seconds.
        eventually(lambda: self.ana.reload() != "Hit", "the end of a page that lives for seconds", seconds=70, pause=0.5)

    def expect_eviction(self, step, what):
        """Reloads Ana's page until it is a Miss. Shows what the page then says, and after how long."""
        start = time.monotonic()
        eventually(lambda: self.ana.reload() != "Hit", f"a Miss after {what}", seconds=90, pause=0.5)
        page = self.ana.read()
        step.show(f"Miss after {time.monotonic() - start:.1f} s: {figures(page)}")
        return page

    def order(self):
        report, stack, ana = self.report, self.stack, self.users["ana"]
        report.section("Order of Ana, as her page shows it")
        before = len(stack.invalidations())
        service = stack.assume_role("order-service", PARTNER_ACCOUNT)
        with report.step("15 minutes pass without a change, so her page lives for 60 s (the test moves the times)"):
            self.age_data_of_ana()
            expect(self.ana.reload() == "Hit", self.ana.read())
        with report.step("the order service publishes an order of 20.00 euros, and her page waits for it:") as step:
            data = {"order_id": "2001", "amount": "20.00", "currency": "EUR"}
            event = order_service_event("order-2001-placed", "order.placed", ana, client_aware=True, **data)
            start = time.monotonic()
            stack.send_messages(service, [event])
            write = {"sub": ana["sub"], "after": reference(event), "kind": "order", "id": "2001"}
            self.ana.run("ownWrite", detail=write)
            page = self.ana.read()
            expect(any("2001" in order for order in page["pendingOrders"] + page["orders"]), page)
            page = eventually(self.page_with_the_order, "the order on her page", seconds=10)
            step.show(f"after {time.monotonic() - start:.1f} s: {figures(page)}")
            expect(page["strip"]["Own change"].startswith("Shown after"), page)
            expect(page["figures"]["Orders"] == "3, 1 canceled" and page["figures"]["Spent"] == "€69.90", page)
        with report.step("her next request is a Hit, and no invalidation was paid"):
            expect(self.ana.reload() == "Hit", self.ana.read())
            stack.wait_for_workers()
            expect(len(stack.invalidations()) == before, stack.invalidations()[before:])
        self.picture(self.ana, "page-dashboard")
        self.picture(self.ana, "page-dashboard-dark", dark=True)
        report.section("Late change of Ana's data")
        with report.step("15 minutes later, the shop records an activity, for which no client waits"):
            self.age_data_of_ana()
            activity = order_service_event("review-1", "activity.recorded", ana, description="Reviewed green tea")
            stack.send_messages(service, [activity])
        with report.step("her page stays a Hit until the worker evicts it, then it is fresh:") as step:
            page = self.expect_eviction(step, "the activity")
            expect(any("Reviewed green tea" in activity for activity in page["activities"]), page)
        with report.step("cache-invalidation evicted her pages and nothing else:") as step:
            item = f"#user:{ana['sub']}"
            new = stack.invalidations()[before:]
            expect(new == [[item]], new)
            step.show(item)
        with report.step("her next request is a Hit again, and nothing has invalidated Dora's page"):
            expect(self.ana.reload() == "Hit", self.ana.read())
            self.expect_undisturbed_dora()

    def page_with_the_order(self):
        """Ana's page if it lists the order. Nobody reloads it."""
        page = self.ana.read()
        return page if any("2001" in order and "€20.00" in order for order in page["orders"]) else None

    def mark_as_read(self):
        report = self.report
        report.section("Notification that Ana reads")
        before = len(self.stack.invalidations())
        with report.step("she clicks “Mark as read”; without a reload, her page then shows the change:") as step:
            activity = order_service_event("review-2", "activity.recorded", self.users["ana"], description=MARKUP)
            self.stack.send_messages(self.stack.assume_role("order-service", PARTNER_ACCOUNT), [activity])
            start = time.monotonic()
            self.ana.run("markAsRead", id="order-1001-confirmed")
            page = eventually(self.page_without_notifications, "a page without the notification", seconds=10)
            expect(page["figures"]["Unread notifications"] == "0", page)
            step.show(f"after {time.monotonic() - start:.1f} s")
        with report.step("an activity with markup shows as the characters that it is"):
            self.stack.wait_for_workers()
            eventually(self.page_with_markup, "the activity", pause=0.5)
        with report.step("no invalidation was paid"):
            expect(len(self.stack.invalidations()) == before, self.stack.invalidations()[before:])
            self.expect_undisturbed_dora()

    def page_with_markup(self):
        self.ana.reload()
        return any(MARKUP in activity for activity in self.ana.read()["activities"])

    def page_without_notifications(self):
        """Ana's page if it lists no notification. Nobody reloads it."""
        page = self.ana.read()
        return None if page["notifications"] else page

    def refresh_tokens(self):
        report, stack = self.report, self.stack
        report.section("Refresh of Ana's tokens")
        sub, old = self.users["ana"]["sub"], self.ana.token()
        stack.wait_for_workers()
        refreshes = stack.user_statistics(sub)["tokenRefreshes"]
        with report.step("an hour passes on her laptop: the page refreshes the tokens before they expire"):
            self.ana.run("advance", seconds=TOKEN_SECONDS - REFRESH_SECONDS + 5)
            eventually(lambda: self.ana.token() != old, "new tokens")
            claims, before = token_claims(self.ana.token()), token_claims(old)
            for name in ("sub", "auth_time", "origin_jti", "client_id"):
                expect(claims[name] == before[name], (name, claims, before))
            expect(claims["jti"] != before["jti"] and claims["cognito:groups"] == ["Developer"], claims)
        with report.step("a new token is a new cache key: Miss, then Hit"):
            expect([self.ana.reload(), self.ana.reload()] == ["Miss", "Hit"], self.ana.read())
        with report.step("the statistics count the refresh"):
            eventually(lambda: stack.user_statistics(sub)["tokenRefreshes"] > refreshes, "a token refresh")

    def sign_out_and_in(self):
        report = self.report
        report.section("Sign-out of Ana")
        with report.step("she signs out: the page shows the sign-in, and has forgotten her data and her tokens"):
            self.ana.run("signOut")
            page = self.ana.read()
            expect(page["view"] == "sign-in" and not page["orders"] and not page["profile"], page)
            expect(self.ana.token() is None, "the page still has a token")
        with report.step("she signs in again: Miss, because the token is new, then Hit"):
            self.sign_in(self.ana)
            expect([self.ana.cache(), self.ana.reload()] == ["Miss", "Hit"], self.ana.read())

    def suspend(self):
        report, stack = self.report, self.stack
        report.section("Suspension of Ana, as her page shows it")
        sub = self.users["ana"]["sub"]
        with report.step("15 minutes pass without a change, so her page lives for 60 s (the test moves the times)"):
            self.age_data_of_ana()
        before = len(stack.invalidations())
        with report.step("an operator suspends her with `replay user suspend`"):
            suspend = ["user", "suspend", sub, "--reason", "chargebacks", "--sign-out", "--user-pool", stack.user_pool]
            expect("User suspended." in stack.replay(*suspend, "--yes"), "not suspended")
        with report.step("her page stays a Hit until it is evicted, then it says that she is suspended:") as step:
            start = time.monotonic()
            eventually(lambda: self.reload_of_ana()["view"] == "problem", "the end of her page", seconds=45, pause=0.5)
            page = self.ana.read()
            expect(page["heading"] == "Your account is suspended", page)
            expect("chargebacks" not in str(page) and not page["orders"] and not page["figures"], page)
            step.show(f"after {time.monotonic() - start:.1f} s: {page['heading']}")
            self.picture(self.ana, "page-suspended", dark=False)
            new = stack.invalidations()[before:]
            expect(new == [[f"#user:{sub}"]], new)
        with report.step("the answer is not cached: each request reaches the read API"):
            viewer, token = Viewer(stack), self.ana.token()
            answers = [viewer.request("/api/dashboard", token) for _ in range(2)]
            expect([answer.status for answer in answers] == [403, 403], answers)
            expect(all(answer.cache == "Error" for answer in answers), answers)
            expect(all(answer.headers["cache-control"] == "no-store" for answer in answers), answers)
        with report.step("nothing has invalidated Dora's page, and the consoles of both tabs show no error"):
            self.expect_undisturbed_dora()
            # Chromium writes a line for each answer that is no success.
            expected = re.compile(r"the server responded with a status of 403 .*/api/")
            complaints = self.ana.run("complaints") + self.dora.run("complaints")
            unexpected = [complaint for complaint in complaints if not expected.search(complaint)]
            expect(not unexpected, "\n".join(unexpected))

    def reload_of_ana(self):
        """Reloads Ana's page, which may no longer be a dashboard. Returns what it shows."""
        if self.ana.read()["view"] == "dashboard":
            self.ana.run("reload")
        return self.ana.read()


def figures(page):
    return ", ".join(f"{name} {value}" for name, value in page["figures"].items())
