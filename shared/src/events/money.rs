//! Exact money: integers in units of 0.0001, never floating-point, never rounded.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use iso_currency::Currency as IsoCurrency;
use serde::{Deserialize, Serialize};

/// Units per 1. Four decimal places are the most that ISO 4217 has for any currency.
const UNITS: i128 = 10_000;
const DECIMAL_PLACES: usize = 4;
/// Amounts are below 10^15, so that sums cannot overflow.
const MAX_INTEGER_DIGITS: usize = 15;

/// The price of an order: positive, with at most four decimal places, and below 10^15.
///
/// In JSON it is a string, such as `"49.90"`. Many programs would read a JSON number as
/// floating-point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Amount(Money);

/// A sum of amounts. It may be negative, because a cancellation may arrive before its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(i128);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a positive decimal such as \"49.90\", with at most 4 places and below 10^15")]
pub struct InvalidAmount;

impl Amount {
    pub fn money(self) -> Money {
        self.0
    }

    /// The amount as a decimal string, with the number of decimal places of the currency, or more
    /// if the amount has more.
    pub fn in_currency(self, currency: Currency) -> String {
        self.0.with_places(places(currency.code()))
    }
}

/// The decimal places of a currency. 0 if ISO 4217 has no number for it.
fn places(code: &str) -> usize {
    IsoCurrency::from_code(code).and_then(IsoCurrency::exponent).unwrap_or_default().into()
}

impl FromStr for Amount {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let (integer, fraction) = match text.split_once('.') {
            Some((integer, fraction)) if !fraction.is_empty() => (integer, fraction),
            Some(_) => return Err(InvalidAmount),
            None => (text, ""),
        };
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if integer.is_empty() || integer.len() > MAX_INTEGER_DIGITS || fraction.len() > DECIMAL_PLACES {
            return Err(InvalidAmount);
        }
        if !digits(integer) || !digits(fraction) {
            return Err(InvalidAmount);
        }
        let units = format!("{integer}{fraction:0<DECIMAL_PLACES$}").parse().map_err(|_| InvalidAmount)?;
        if units == 0 { Err(InvalidAmount) } else { Ok(Self(Money(units))) }
    }
}

impl TryFrom<String> for Amount {
    type Error = InvalidAmount;

    fn try_from(text: String) -> Result<Self, InvalidAmount> {
        text.parse()
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.0.to_string()
    }
}

impl Money {
    /// Saturates beyond 10^34, which would take 10^19 events.
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Formats the sum with at least `places` decimal places.
    fn with_places(self, places: usize) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let units = UNITS.unsigned_abs();
        let (integer, fraction) = (self.0.unsigned_abs() / units, self.0.unsigned_abs() % units);
        let mut fraction = format!("{fraction:0>DECIMAL_PLACES$}");
        while fraction.len() > places && fraction.ends_with('0') {
            fraction.pop();
        }
        if fraction.is_empty() { format!("{sign}{integer}") } else { format!("{sign}{integer}.{fraction}") }
    }

    /// Reads a decimal number with at most four decimal places, such as `-2.50`.
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text),
        };
        let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if fraction.len() > DECIMAL_PLACES {
            return None;
        }
        let units: i128 = format!("{integer}{fraction:0<DECIMAL_PLACES$}").parse().ok()?;
        Some(Self(sign * units))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_places(0))
    }
}

/// A currency. In JSON, its ISO 4217 code of three capital letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(IsoCurrency);

impl Currency {
    /// The code, such as `EUR`.
    pub fn code(self) -> &'static str {
        self.0.code()
    }
}

impl TryFrom<String> for Currency {
    type Error = &'static str;

    fn try_from(code: String) -> Result<Self, Self::Error> {
        // The crate also accepts lower case. Here, each currency has only one code.
        let upper = code.bytes().all(|byte| byte.is_ascii_uppercase());
        IsoCurrency::from_code(&code)
            .filter(|_| upper)
            .map(Self)
            .ok_or("expected an ISO 4217 currency code, such as EUR")
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

/// Sums by currency code. In the table and in JSON, each is a decimal string with the number of
/// decimal places of its currency, or more if the sum has more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Spent(BTreeMap<String, Money>);

impl Spent {
    pub fn add(&mut self, amount: Amount, currency: Currency) {
        let sum = self.0.entry(currency.code().to_owned()).or_default();
        *sum = sum.plus(amount.money());
    }

    pub fn subtract(&mut self, amount: Amount, currency: Currency) {
        let sum = self.0.entry(currency.code().to_owned()).or_default();
        *sum = sum.minus(amount.money());
    }

    /// True if no order was ever added.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<BTreeMap<String, String>> for Spent {
    type Error = InvalidAmount;

    fn try_from(sums: BTreeMap<String, String>) -> Result<Self, InvalidAmount> {
        let sums = sums.into_iter().map(|(code, sum)| Money::parse(&sum).map(|sum| (code, sum)));
        sums.collect::<Option<_>>().map(Self).ok_or(InvalidAmount)
    }
}

impl From<Spent> for BTreeMap<String, String> {
    fn from(spent: Spent) -> Self {
        spent.0.into_iter().map(|(code, sum)| (code.clone(), sum.with_places(places(&code)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amount_is_a_positive_decimal_with_at_most_four_places() {
        for (text, money) in
            [("49.90", "49.9"), ("0.0001", "0.0001"), ("007", "7"), ("999999999999999", "999999999999999")]
        {
            assert_eq!(text.parse::<Amount>().unwrap().money().to_string(), money);
        }
        for text in [
            "",
            "0",
            "0.00",
            "-1",
            "+1",
            "1.",
            ".5",
            "1.00000",
            "1e3",
            "1,5",
            " 1",
            "1000000000000000",
            "１",
            "NaN",
        ] {
            assert_eq!(text.parse::<Amount>(), Err(InvalidAmount), "{text:?}");
        }
    }

    #[test]
    fn thirty_times_ten_cents_are_three() {
        let mut spent = Spent::default();
        let eur = Currency::try_from("EUR".to_owned()).unwrap();
        for _ in 0..30 {
            spent.add("0.10".parse().unwrap(), eur);
        }
        assert_eq!(serde_json::to_value(&spent).unwrap(), serde_json::json!({"EUR": "3.00"}));
    }

    #[test]
    fn sums_have_the_places_of_their_currency_and_survive_serialization() {
        let mut spent = Spent::default();
        for (amount, code) in [("500", "JPY"), ("1.25", "KWD"), ("0.1234", "USD"), ("5", "EUR")] {
            spent.add(amount.parse().unwrap(), Currency::try_from(code.to_owned()).unwrap());
        }
        spent.subtract("7.5".parse().unwrap(), Currency::try_from("EUR".to_owned()).unwrap());
        let json = serde_json::to_value(&spent).unwrap();
        assert_eq!(json, serde_json::json!({"EUR": "-2.50", "JPY": "500", "KWD": "1.250", "USD": "0.1234"}));
        assert_eq!(serde_json::from_value::<Spent>(json).unwrap(), spent);
    }

    #[test]
    fn amount_has_the_places_of_its_currency() {
        for (amount, code, expected) in [
            ("49.9", "EUR", "49.90"),
            ("500", "JPY", "500"),
            ("500.5", "JPY", "500.5"),
            ("1.2", "KWD", "1.200"),
        ] {
            let currency = Currency::try_from(code.to_owned()).unwrap();
            assert_eq!(amount.parse::<Amount>().unwrap().in_currency(currency), expected);
        }
    }

    #[test]
    fn currency_is_an_iso_4217_code() {
        for code in ["EUR", "USD", "JPY", "CHF"] {
            assert_eq!(Currency::try_from(code.to_owned()).unwrap().code(), code);
        }
        for code in ["", "eur", "EURO", "XYZ", "E\u{200b}R"] {
            assert!(Currency::try_from(code.to_owned()).is_err(), "{code:?}");
        }
    }
}
