//! CloudWatch metric math, as far as the alarms of `template.yaml` use it, for one period.

use std::collections::BTreeMap;

/// The value of each metric in the period by its id. `None`: no data.
pub type Metrics = BTreeMap<String, Option<f64>>;

/// A value, or the list of values that `METRICS()` returns.
enum Value {
    One(Option<f64>),
    Many(Vec<Option<f64>>),
}

/// The value of an expression. `None` if a metric without data makes it missing.
pub fn evaluate(expression: &str, metrics: &Metrics) -> Option<f64> {
    let mut parser = Parser { rest: expression.trim(), metrics };
    let value = parser.or();
    assert_eq!(parser.rest, "", "the rest of {expression} is not understood");
    one(value)
}

fn one(value: Value) -> Option<f64> {
    match value {
        Value::One(value) => value,
        Value::Many(_) => panic!("a list in place of a value"),
    }
}

struct Parser<'a> {
    rest: &'a str,
    metrics: &'a Metrics,
}

impl<'a> Parser<'a> {
    fn skip(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) {
        assert!(self.skip(token), "{token} expected before {}", self.rest);
    }

    fn word(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.');
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest.trim_start();
        word
    }

    /// Applies one of `operators` as long as one follows.
    fn binary(&mut self, operators: &[Operator], operand: fn(&mut Self) -> Value) -> Value {
        let mut left = operand(self);
        while let Some((_, apply)) = operators.iter().find(|(token, _)| self.skip(token)) {
            let (first, second) = (one(left), one(operand(self)));
            left = Value::One(first.zip(second).map(|(first, second)| apply(first, second)));
        }
        left
    }

    fn or(&mut self) -> Value {
        self.binary(&[("OR ", |a, b| truth(a > 0.0 || b > 0.0))], Self::and)
    }

    fn and(&mut self) -> Value {
        self.binary(&[("AND ", |a, b| truth(a > 0.0 && b > 0.0))], Self::comparison)
    }

    fn comparison(&mut self) -> Value {
        let operators: [Operator; 4] = [
            (">=", |a, b| truth(a >= b)),
            ("<=", |a, b| truth(a <= b)),
            (">", |a, b| truth(a > b)),
            ("<", |a, b| truth(a < b)),
        ];
        self.binary(&operators, Self::sum)
    }

    fn sum(&mut self) -> Value {
        self.binary(&[("+", |a, b| a + b), ("-", |a, b| a - b)], Self::product)
    }

    fn product(&mut self) -> Value {
        self.binary(&[("*", |a, b| a * b), ("/", |a, b| a / b)], Self::operand)
    }

    fn operand(&mut self) -> Value {
        if self.skip("(") {
            let value = self.or();
            self.expect(")");
            return value;
        }
        let word = self.word();
        if let Ok(number) = word.parse() {
            return Value::One(Some(number));
        }
        if !self.skip("(") {
            let metric = self.metrics.get(word).unwrap_or_else(|| panic!("no metric has the id {word:?}"));
            return Value::One(*metric);
        }
        let mut arguments = Vec::new();
        while !self.skip(")") {
            arguments.push(self.or());
            self.skip(",");
        }
        self.call(word, arguments)
    }

    fn call(&self, function: &str, arguments: Vec<Value>) -> Value {
        match (function, <[Value; 3]>::try_from(arguments)) {
            ("IF", Ok([condition, then, other])) => {
                let chosen =
                    one(condition).map(|condition| if condition > 0.0 { one(then) } else { one(other) });
                Value::One(chosen.flatten())
            }
            (_, Ok(_)) => panic!("{function} with three arguments"),
            (_, Err(mut arguments)) => {
                let last = arguments.pop();
                match (function, arguments.pop(), last) {
                    ("METRICS", None, None) => Value::Many(self.metrics.values().copied().collect()),
                    ("FILL", Some(value), Some(Value::One(Some(default)))) => match value {
                        Value::One(value) => Value::One(value.or(Some(default))),
                        Value::Many(values) => {
                            Value::Many(values.into_iter().map(|value| value.or(Some(default))).collect())
                        }
                    },
                    ("SUM", None, Some(Value::Many(values))) => Value::One(values.into_iter().sum()),
                    _ => panic!("{function} is not understood"),
                }
            }
        }
    }
}

type Operator = (&'static str, fn(f64, f64) -> f64);

fn truth(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

#[test]
fn expressions_have_the_values_that_aws_documents() {
    let metrics: Metrics =
        [("a", Some(6.0)), ("b", None), ("c", Some(2.0))].map(|(id, value)| (id.to_owned(), value)).into();
    for (expression, value) in [
        ("a - 1.5 * c", Some(3.0)),
        ("(a - 2) / c", Some(2.0)),
        ("a + b", None),
        ("a - FILL(b, 1) - 1", Some(4.0)),
        ("SUM(FILL(METRICS(), 0))", Some(8.0)),
        ("IF(a > 5 AND c >= 2, 7, 0) + IF(a < 5 OR c <= 1, 7, 0)", Some(7.0)),
        ("IF(b > 5, 7, 0)", None),
    ] {
        assert_eq!(evaluate(expression, &metrics), value, "{expression}");
    }
}
