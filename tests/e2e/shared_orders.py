"""The end-to-end test of permissions: Ana's orders, shared with Emil, and no longer shared."""

import time

from assertions import eventually, expect, expect_client_error
from client import UNLISTED_ROLE, order_service_event
from stack import ACCOUNT, PARTNER_ACCOUNT
from viewer import Viewer

QUEUE = "ResourcePermissionsQueue"


def share_orders(report, stack, ana):
    """Ana has three orders. Emil signs in with the SDK, so his token is of another client than that of the page."""
    report.section("Orders of Ana, shared with Emil")
    viewer, sharing = Viewer(stack), stack.assume_role("sharing-service", ACCOUNT, may_send=True)
    path = f"/api/orders/shared/{ana['sub']}"
    with report.step("an administrator creates emil@example.com, who signs in"):
        attributes = {"email": "emil@example.com", "email_verified": "true", "name": "Emil"}
        emil = {"sub": stack.create_user(attributes)["sub"]}
        stack.set_password("emil@example.com")
        token = stack.sign_in("emil@example.com")["AccessToken"]
    with report.step("Ana's orders are 404 for him"):
        expect(viewer.request(path, token).status == 404, viewer.request(path, token))
    resource = {"resource": f"orders/{ana['sub']}"}
    granted = order_service_event(
        "share-1", "permission.granted", emil, **resource, permissions=["read"], granted_by=ana["sub"]
    )
    with report.step("a role outside PermissionProducers cannot send, although its own policy allows it:") as step:
        unlisted = stack.assume_role(UNLISTED_ROLE, ACCOUNT, may_send=True)
        error = expect_client_error(lambda: stack.send_messages(unlisted, [granted], QUEUE))
        expect("AccessDenied" in error["Code"], error)
        step.show(error["Code"])
    with report.step("if the order service sends the permission to user-events, user-stats dead-letters it"):
        orders = stack.assume_role("order-service", PARTNER_ACCOUNT)
        before = stack.message_count("UserEventsDeadLetterQueue")
        stack.send_messages(orders, [granted])
        eventually(lambda: stack.message_count("UserEventsDeadLetterQueue") == before + 1, "a dead letter")
        expect(viewer.request(path, token).status == 404, viewer.request(path, token))
    with report.step("the sharing service grants it: he sees her orders, first a Miss, then a Hit:") as step:
        start = time.monotonic()
        stack.send_messages(sharing, [granted], QUEUE)
        eventually(lambda: viewer.request(path, token).status == 200, "the shared orders", seconds=60)
        step.show(f"after {time.monotonic() - start:.1f} s")
        # The permission itself evicts his pages.
        stack.wait_for_workers()
        answers = [viewer.request(path, token) for _ in range(2)]
        expect([answer.cache for answer in answers] == ["Miss", "Hit"], answers)
        expect("2001" in [order["orderId"] for order in answers[1].json()["orders"]], answers)
    with report.step("he can still see nothing else of her"):
        for view in ("dashboard", "orders", "profile"):
            answer = viewer.request(f"/api/users/{ana['sub']}/{view}", token)
            expect(answer.status == 404, answer)
    with report.step("the sharing service revokes it: his page is evicted, and is 404 again:") as step:
        start = time.monotonic()
        revoked = order_service_event("share-2", "permission.revoked", emil, **resource, revoked_by=ana["sub"])
        stack.send_messages(sharing, [revoked], QUEUE)
        eventually(lambda: viewer.request(path, token).status == 404, "the end of the shared orders", seconds=60)
        step.show(f"after {time.monotonic() - start:.1f} s")
    with report.step("the permission that arrives once more, late, opens nothing"):
        stack.send_messages(sharing, [granted], QUEUE)
        stack.wait_for_workers()
        expect(viewer.request(path, token).status == 404, viewer.request(path, token))
