//! What one filter decided about a request, and the mode of the rule that decided.

use serde::{Deserialize, Serialize};

/// A stable reason code, `<filter>.<reason>` in lower snake case (`jwt.expired`). Never holds request data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Reason(pub &'static str);

impl Reason {
    /// The code as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// Whether a rule refuses, only reports, or does nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A violation is refused.
    #[default]
    Enforce,
    /// A violation is carried to audit and metrics, and changes nothing else.
    Report,
    /// The rule is not evaluated.
    Off,
}

/// What a filter does when it can't decide: a host call failed, a key set is unreachable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// Refuse the request (fail closed).
    #[default]
    Deny,
    /// Let the request pass, with a report verdict.
    Allow,
}

/// How a verdict turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The filter had no objection.
    Allow,
    /// The filter answered the request itself.
    Deny,
    /// A rule in mode `report` objected; the request went on.
    Report,
}

/// One decision of one filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The filter's name, as in `jwt-auth`.
    pub filter: &'static str,
    /// What was decided.
    pub outcome: Outcome,
    /// Why; none for an allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The `id` of the rule that decided, from the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

impl Verdict {
    /// A filter that had no objection.
    #[must_use]
    pub const fn allow(filter: &'static str) -> Self {
        Self { filter, outcome: Outcome::Allow, reason: None, rule: None }
    }

    /// Compact text for filter state, readable by other filters, RBAC and access logs:
    /// `allow`, `deny jwt.expired`, `report rate.exceeded login`.
    #[must_use]
    pub fn to_property(&self) -> String {
        let outcome = match self.outcome {
            Outcome::Allow => "allow",
            Outcome::Deny => "deny",
            Outcome::Report => "report",
        };
        let mut text = String::from(outcome);
        if let Some(reason) = self.reason {
            text.push(' ');
            text.push_str(reason.as_str());
            if let Some(rule) = &self.rule {
                text.push(' ');
                text.push_str(rule);
            }
        }
        text
    }
}

/// A verdict as another VM published it with [`Verdict::to_property`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignVerdict {
    /// What was decided.
    pub outcome: Outcome,
    /// The reason code, if any.
    pub reason: Option<String>,
    /// The rule's id, if any; may hold spaces.
    pub rule: Option<String>,
}

impl ForeignVerdict {
    /// Reads the text of [`Verdict::to_property`]; none for anything else.
    #[must_use]
    pub fn from_property(text: &str) -> Option<Self> {
        let mut words = text.splitn(3, ' ');
        let outcome = match words.next()? {
            "allow" => Outcome::Allow,
            "deny" => Outcome::Deny,
            "report" => Outcome::Report,
            _ => return None,
        };
        Some(Self { outcome, reason: words.next().map(str::to_owned), rule: words.next().map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_reads_back_from_its_property() {
        for (verdict, text) in [
            (Verdict::allow("audit"), "allow"),
            (
                Verdict {
                    filter: "jwt-auth",
                    outcome: Outcome::Deny,
                    reason: Some(Reason("jwt.expired")),
                    rule: None,
                },
                "deny jwt.expired",
            ),
            (
                Verdict {
                    filter: "rate-limit",
                    outcome: Outcome::Report,
                    reason: Some(Reason("rate.exceeded")),
                    rule: Some("per client".into()),
                },
                "report rate.exceeded per client",
            ),
        ] {
            assert_eq!(verdict.to_property(), text);
            let read = ForeignVerdict::from_property(text).unwrap();
            assert_eq!(
                (read.outcome, read.reason.as_deref(), read.rule.as_deref()),
                (verdict.outcome, verdict.reason.map(Reason::as_str), verdict.rule.as_deref())
            );
        }
        assert_eq!(ForeignVerdict::from_property("sure"), None);
    }
}
