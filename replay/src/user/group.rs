//! Groups of a user in the user pool, and which of them GROUP_RULES manages.

pub mod command;

use std::collections::BTreeSet;

use shared::config::Environment;
use shared::group_rules::{managed_groups, read};

use crate::account::Account;
use crate::error::{CommandError, Result};
use crate::stack::read_parameters;

const VARIABLE: &str = "GROUP_RULES";
/// The parameter of the template with the value of [`VARIABLE`].
const PARAMETER: &str = "GroupRules";

/// The groups that the rules manage: a token has such a group if one of its rules matches, and only
/// then. `None` if the rules are not known.
pub struct ManagedGroups(Option<BTreeSet<String>>);

impl ManagedGroups {
    /// Reads the rules of the stack, or of the variable without a stack.
    pub async fn read(account: &Account) -> Result<Self> {
        match account.stack_name() {
            Some(stack) => Self::of_stack(account, stack).await,
            None => account.variable(VARIABLE).map_or(Ok(Self(None)), |rules| Self::parse(VARIABLE, rules)),
        }
    }

    async fn of_stack(account: &Account, name: &str) -> Result<Self> {
        // Without the permission, the rules are not known.
        let parameters = read_parameters(&account.cloudformation(), name).await.ok();
        let rules = parameters.as_ref().and_then(|parameters| parameters.get(PARAMETER));
        rules.map_or(Ok(Self(None)), |rules| Self::parse(&format!("--stack {name}: {PARAMETER}"), rules))
    }

    fn parse(place: &str, rules: &str) -> Result<Self> {
        let environment: Environment = [(VARIABLE, rules)].into_iter().collect();
        let rules =
            read(&environment).map_err(|error| CommandError::invalid_input(format!("{place}: {error}")))?;
        Ok(Self(Some(managed_groups(&rules))))
    }

    /// True if the rules manage a group. `None` if the rules are not known.
    pub fn contains(&self, group: &str) -> Option<bool> {
        self.0.as_ref().map(|groups| groups.contains(group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_manage_the_groups_that_they_name() {
        let rules = r#"[{"attribute": "custom:department", "equals": "Engineering", "group": "Developer"}]"#;
        let managed = ManagedGroups::parse("GROUP_RULES", rules).unwrap();
        assert_eq!((managed.contains("Developer"), managed.contains("Staff")), (Some(true), Some(false)));
        assert_eq!(ManagedGroups::parse("GROUP_RULES", "").unwrap().contains("Staff"), Some(false));
        assert_eq!(ManagedGroups(None).contains("Staff"), None);
        let error = ManagedGroups::parse("--stack shop: GroupRules", "[").err().unwrap().to_string();
        assert!(error.starts_with("--stack shop: GroupRules: "), "{error}");
    }
}
