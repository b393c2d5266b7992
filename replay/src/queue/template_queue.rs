//! The queues of the template, and which events belong on each.

use std::fmt;

/// A queue of `template.yaml` with a worker. Its name is that of the stack, a hyphen and this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateQueue {
    UserEvents,
    CacheInvalidations,
    GroupMemberships,
    ResourcePermissions,
    /// Its messages are events of CloudTrail, which have no type of this project.
    AccountActivities,
}

impl TemplateQueue {
    const ALL: [Self; 5] = [
        Self::UserEvents,
        Self::CacheInvalidations,
        Self::GroupMemberships,
        Self::ResourcePermissions,
        Self::AccountActivities,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::UserEvents => "user-events",
            Self::CacheInvalidations => "cache-invalidations",
            Self::GroupMemberships => "group-memberships",
            Self::ResourcePermissions => "resource-permissions",
            Self::AccountActivities => "account-activities",
        }
    }

    /// The queue with this name, ARN or URL. `None` for a queue that is not of the template, and for a
    /// dead-letter queue.
    pub fn of(queue: &str) -> Option<Self> {
        let name = queue.rsplit(['/', ':']).next()?;
        Self::ALL.into_iter().find(|queue| {
            name.strip_suffix(queue.name()).is_some_and(|stack| stack.is_empty() || stack.ends_with('-'))
        })
    }

    /// The same, also for the name of a dead-letter queue: the queue whose messages it gets.
    pub fn of_messages_in(queue: &str) -> Option<Self> {
        Self::of(queue.strip_suffix("-dead-letters").unwrap_or(queue))
    }

    /// The queue on which events of a type belong. No type of this project belongs on account-activities.
    pub fn of_type(event_type: &str) -> Self {
        match event_type {
            "user.data_changed" => Self::CacheInvalidations,
            "user.groups_mapped" => Self::GroupMemberships,
            "permission.granted" | "permission.revoked" => Self::ResourcePermissions,
            _ => Self::UserEvents,
        }
    }
}

impl fmt::Display for TemplateQueue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_of_the_template_has_its_name_at_the_end() {
        for (queue, expected) in [
            ("user-events", Some(TemplateQueue::UserEvents)),
            ("shop-user-events", Some(TemplateQueue::UserEvents)),
            (
                "arn:aws:sqs:eu-central-1:123456789012:shop-cache-invalidations",
                Some(TemplateQueue::CacheInvalidations),
            ),
            (
                "https://sqs.example.com/123456789012/shop-group-memberships",
                Some(TemplateQueue::GroupMemberships),
            ),
            ("shop-resource-permissions", Some(TemplateQueue::ResourcePermissions)),
            ("shop-account-activities", Some(TemplateQueue::AccountActivities)),
            ("shop-user-events-dead-letters", None),
            ("superuser-events", None),
            ("orders", None),
        ] {
            assert_eq!(TemplateQueue::of(queue), expected, "{queue}");
        }
    }

    #[test]
    fn dead_letter_queue_has_the_messages_of_its_queue() {
        for (queue, expected) in [
            ("shop-user-events-dead-letters", Some(TemplateQueue::UserEvents)),
            ("shop-user-events", Some(TemplateQueue::UserEvents)),
            ("orders-dead-letters", None),
        ] {
            assert_eq!(TemplateQueue::of_messages_in(queue), expected, "{queue}");
        }
    }

    #[test]
    fn each_type_belongs_on_the_queue_of_its_worker() {
        for (event_type, queue) in [
            ("order.placed", "user-events"),
            ("user.signed_in", "user-events"),
            // A newer version of user-stats may know it.
            ("order.returned", "user-events"),
            ("user.data_changed", "cache-invalidations"),
            ("user.groups_mapped", "group-memberships"),
            ("permission.granted", "resource-permissions"),
            ("permission.revoked", "resource-permissions"),
        ] {
            assert_eq!(TemplateQueue::of_type(event_type).to_string(), queue, "{event_type}");
        }
    }
}
