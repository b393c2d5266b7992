//! The routes. Pure.

use shared::events::View;

/// What is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// `/api/config`: what the page needs before a sign-in.
    Config,
    /// `/api/dashboard`, `/api/orders`, `/api/profile`: the caller's own data.
    Own(View),
    /// `/api/orders/shared/{sub}`: the orders of a user who shares them with the caller.
    SharedOrders { owner: &'a str },
    /// `/api/notifications/{id}/read`.
    MarkAsRead { notification_id: &'a str },
    /// `/api/users/{sub}/dashboard`, `…/orders`, `…/profile`: the data of any user, for administrators.
    User { sub: &'a str, view: View },
}

const READ: &[&str] = &["GET", "HEAD"];

impl<'a> Route<'a> {
    /// The route of a path. `None` if there is none.
    pub fn of(path: &'a str) -> Option<Self> {
        let path = path.strip_prefix("/api/")?;
        // An id may contain a slash.
        let id = path.strip_prefix("notifications/").and_then(|path| path.strip_suffix("/read"));
        if let Some(notification_id) = id.filter(|id| !id.is_empty()) {
            return Some(Self::MarkAsRead { notification_id });
        }
        let mut segments = path.split('/');
        let segments = [(); 4].map(|()| segments.next());
        match segments {
            [Some("config"), None, ..] => Some(Self::Config),
            [Some(own), None, ..] => view(own).map(Self::Own),
            [Some("orders"), Some("shared"), Some(owner), None] if !owner.is_empty() => {
                Some(Self::SharedOrders { owner })
            }
            [Some("users"), Some(sub), Some(of_user), None] if !sub.is_empty() => {
                view(of_user).map(|view| Self::User { sub, view })
            }
            _ => None,
        }
    }

    /// The methods that the route accepts.
    pub fn methods(self) -> &'static [&'static str] {
        match self {
            Self::MarkAsRead { .. } => &["POST"],
            Self::Config | Self::Own(_) | Self::SharedOrders { .. } | Self::User { .. } => READ,
        }
    }
}

fn view(name: &str) -> Option<View> {
    View::ALL.into_iter().find(|view| view.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_leads_to_its_route() {
        let user = |view| Some(Route::User { sub: "ana", view });
        let read = |notification_id| Some(Route::MarkAsRead { notification_id });
        for (path, expected) in [
            ("/api/config", Some(Route::Config)),
            ("/api/dashboard", Some(Route::Own(View::Dashboard))),
            ("/api/orders", Some(Route::Own(View::Orders))),
            ("/api/profile", Some(Route::Own(View::Profile))),
            ("/api/orders/shared/ana", Some(Route::SharedOrders { owner: "ana" })),
            ("/api/users/ana/dashboard", user(View::Dashboard)),
            ("/api/users/ana/orders", user(View::Orders)),
            ("/api/users/ana/profile", user(View::Profile)),
            ("/api/notifications/7/read", read("7")),
            ("/api/notifications/a/b/read", read("a/b")),
            ("/api/notifications/ /read", read(" ")),
            ("/api/notifications//read", None),
            ("/api/notifications/read", None),
            ("/api/notifications/7", None),
            ("", None),
            ("/", None),
            ("/api", None),
            ("/api/", None),
            ("/api/dashboard/", None),
            ("/api//dashboard", None),
            ("//api/dashboard", None),
            ("/API/dashboard", None),
            ("/api/Dashboard", None),
            ("/dashboard", None),
            ("/api/config/x", None),
            ("/api/orders/shared", None),
            ("/api/orders/shared/", None),
            ("/api/orders/shared/ana/x", None),
            ("/api/users/ana", None),
            ("/api/users//orders", None),
            ("/api/users/ana/config", None),
            ("/api/users/ana/orders/shared/ben", None),
        ] {
            assert_eq!(Route::of(path), expected, "{path}");
        }
    }
}
