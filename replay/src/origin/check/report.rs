//! The JSON of `replay origin check`.

use serde::Serialize;

use super::Checked;

/// What is wrong with HTTP responses of an origin.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OriginReport {
    /// The responses in the order of the input.
    pub responses: Vec<ResponseReport>,
    /// Number of findings in all responses. The exit code is 1 if it is not 0.
    pub findings: usize,
}

/// One response.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ResponseReport {
    /// The file, or `standard input`.
    pub input: String,
    /// Number of the response in the input, from 1.
    pub number: usize,
    /// The status code.
    pub status: u16,
    /// How long CloudFront keeps the response. Null if CloudFront keeps no copy.
    pub kept_seconds: Option<u64>,
    /// What is wrong.
    pub findings: Vec<FindingReport>,
    /// What else you should know.
    pub notes: Vec<String>,
}

/// Something that breaks the caching contract.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FindingReport {
    /// The code of the finding, which docs/replay.md explains.
    pub code: &'static str,
    /// The header, or the field of the body, that the finding is about.
    pub header: &'static str,
    /// What CloudFront does.
    pub effect: String,
    /// What to do.
    pub next_step: &'static str,
}

impl OriginReport {
    pub fn add(&mut self, input: &str, number: usize, status: u16, checked: &Checked) {
        let findings = checked.findings.iter().map(|finding| FindingReport {
            code: finding.code(),
            header: finding.header(),
            effect: finding.effect(),
            next_step: finding.next_step(),
        });
        self.findings += checked.findings.len();
        self.responses.push(ResponseReport {
            input: input.to_owned(),
            number,
            status,
            kept_seconds: checked.kept_seconds,
            findings: findings.collect(),
            notes: checked.notes.iter().map(ToString::to_string).collect(),
        });
    }
}
