//! Aggregates: what a feature that stands for several says of their values.
//!
//! The user asks for them by layer (`TBMJ=sum`). [`Aggregates`] are those whose fields a schema
//! has; what they come to is a list of [`Value`]s, one for each, which can be stored with a feature
//! and joined with others later: any grouping of the same features, in the same order, gives the
//! same numbers but for the last digits of sums of reals.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Field, FieldType, Schema, Value};

/// Attribute of a feature that stands for several: how many.
pub const COUNT_FIELD: &str = "onemap_count";

/// What becomes of the values of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AggregateFunction {
    /// How many features have a value.
    Count,
    Sum,
    Min,
    Max,
}

impl AggregateFunction {
    fn word(self) -> &'static str {
        match self {
            AggregateFunction::Count => "count",
            AggregateFunction::Sum => "sum",
            AggregateFunction::Min => "min",
            AggregateFunction::Max => "max",
        }
    }
}

/// A field and what becomes of its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregate {
    pub field: String,
    pub function: AggregateFunction,
}

impl Aggregate {
    /// The attribute that carries it: `TBMJ_sum`.
    pub fn key(&self) -> String {
        format!("{}_{}", self.field, self.function.word())
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.field, self.function.word())
    }
}

impl FromStr for Aggregate {
    type Err = String;

    fn from_str(text: &str) -> Result<Aggregate, String> {
        use AggregateFunction::{Count, Max, Min, Sum};
        let function = |word: &str| {
            [Count, Sum, Min, Max]
                .into_iter()
                .find(|f| f.word() == word)
        };
        text.rsplit_once('=')
            .filter(|(field, _)| !field.is_empty())
            .and_then(|(field, word)| Some((field, function(word)?)))
            .map(|(field, function)| Aggregate {
                field: field.to_string(),
                function,
            })
            .ok_or_else(|| {
                "expected FIELD=count, sum, min or max, for example TBMJ=sum (应为 字段=sum)".into()
            })
    }
}

/// Why an aggregate cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AggregateError {
    #[error("aggregate {aggregate}: no such field; the fields are {} (没有该字段)", .known.join(", "))]
    NoSuchField {
        aggregate: Aggregate,
        known: Vec<String>,
    },
    #[error("aggregate {aggregate}: the field is {found}, expected {expected} (字段类型不符)")]
    FieldType {
        aggregate: Aggregate,
        found: String,
        expected: &'static str,
    },
    #[error("aggregate {aggregate}: there is a {key} already (名称重复)")]
    NameTaken { aggregate: Aggregate, key: String },
}

/// Aggregates whose fields were found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Aggregates {
    list: Vec<Found>,
}

#[derive(Debug, Clone, PartialEq)]
struct Found {
    column: usize,
    function: AggregateFunction,
    result: Field,
}

impl Aggregates {
    /// # Errors
    /// When a field is not there or is of a type that the function does not take.
    pub fn new(asked: &[Aggregate], schema: &Schema) -> Result<Aggregates, AggregateError> {
        let mut list: Vec<Found> = Vec::new();
        for aggregate in asked {
            let column = schema.index_of(&aggregate.field).ok_or_else(|| {
                let known = schema.fields.iter().map(|f| f.name.clone()).collect();
                AggregateError::NoSuchField {
                    aggregate: aggregate.clone(),
                    known,
                }
            })?;
            let field = &schema.fields[column];
            let is_number = matches!(field.field_type, FieldType::Integer | FieldType::Real);
            let (fits, expected) = match aggregate.function {
                AggregateFunction::Count => (true, "any"),
                AggregateFunction::Sum => (is_number, "a number"),
                AggregateFunction::Min | AggregateFunction::Max => (
                    is_number || field.field_type == FieldType::Date,
                    "a number or a date",
                ),
            };
            if !fits {
                return Err(AggregateError::FieldType {
                    aggregate: aggregate.clone(),
                    found: format!("{:?}", field.field_type).to_lowercase(),
                    expected,
                });
            }
            let key = aggregate.key();
            if schema.index_of(&key).is_some() || list.iter().any(|f| f.result.name == key) {
                return Err(AggregateError::NameTaken {
                    aggregate: aggregate.clone(),
                    key,
                });
            }
            list.push(Found {
                column,
                function: aggregate.function,
                result: Field {
                    name: key,
                    alias: None,
                    field_type: match aggregate.function {
                        AggregateFunction::Count => FieldType::Integer,
                        AggregateFunction::Sum
                        | AggregateFunction::Min
                        | AggregateFunction::Max => field.field_type,
                    },
                    width: 0,
                    precision: 0,
                },
            });
        }
        Ok(Aggregates { list })
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Column of the layer and attribute of each, in order.
    pub fn fields(&self) -> impl Iterator<Item = (usize, &Field)> {
        self.list.iter().map(|found| (found.column, &found.result))
    }

    /// What they come to for one feature by itself; `values` are its attributes.
    pub fn of(&self, values: &[Value]) -> Vec<Value> {
        let one = |found: &Found| {
            let value = values.get(found.column).unwrap_or(&Value::Null);
            let has_value = match value {
                Value::Null => false,
                Value::Real(value) => value.is_finite(),
                _ => true,
            };
            match found.function {
                AggregateFunction::Count => Value::Integer(i64::from(has_value)),
                _ if !has_value => Value::Null,
                _ => value.clone(),
            }
        };
        self.list.iter().map(one).collect()
    }

    /// Joins what others come to into `into`. Sums of integers end at the limits of 64 bits.
    pub fn join(&self, into: &mut [Value], other: &[Value]) {
        for ((found, a), b) in self.list.iter().zip(into).zip(other) {
            if *b == Value::Null {
                continue;
            }
            if *a == Value::Null {
                a.clone_from(b);
                continue;
            }
            match found.function {
                AggregateFunction::Count | AggregateFunction::Sum => *a = sum(a, b),
                AggregateFunction::Min if is_less(b, a) => a.clone_from(b),
                AggregateFunction::Max if is_less(a, b) => a.clone_from(b),
                AggregateFunction::Min | AggregateFunction::Max => {}
            }
        }
    }

    /// The attributes of features of which some stand for several: those of the layer, the count,
    /// the aggregates.
    pub fn generalised_schema(&self, schema: &Schema) -> Schema {
        let count = Field {
            name: COUNT_FIELD.to_string(),
            alias: None,
            field_type: FieldType::Integer,
            width: 0,
            precision: 0,
        };
        let results = self.fields().map(|(_, field)| field.clone());
        let own = schema.fields.iter().cloned();
        Schema {
            fields: own.chain([count]).chain(results).collect(),
        }
    }
}

fn sum(a: &Value, b: &Value) -> Value {
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => Value::Integer(a.saturating_add(*b)),
        _ => Value::Real(number(a) + number(b)),
    }
}

fn is_less(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => a < b,
        // Dates in ISO 8601 are in the order of their letters.
        (Value::Text(a), Value::Text(b)) => a < b,
        _ => number(a) < number(b),
    }
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Integer(value) => *value as f64,
        Value::Real(value) => *value,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        let field = |name: &str, field_type| Field {
            name: name.into(),
            alias: None,
            field_type,
            width: 0,
            precision: 0,
        };
        Schema {
            fields: vec![
                field("TBMJ", FieldType::Real),
                field("NO", FieldType::Integer),
                field("DLBM", FieldType::String),
                field("SJ", FieldType::Date),
            ],
        }
    }

    fn asked(texts: &[&str]) -> Vec<Aggregate> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn words_become_aggregates_and_back() {
        let aggregate: Aggregate = "TB=MJ=sum".parse().unwrap();
        assert_eq!(
            (aggregate.field.as_str(), aggregate.to_string()),
            ("TB=MJ", "TB=MJ=sum".into())
        );
        for wrong in ["TBMJ", "TBMJ=mean", "=sum", "TBMJ="] {
            assert!(wrong.parse::<Aggregate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_a_schema_does_not_have_is_named() {
        let error = |text: &str| {
            Aggregates::new(&asked(&[text]), &schema())
                .unwrap_err()
                .to_string()
        };
        assert!(error("MJ=sum").contains("TBMJ, NO, DLBM, SJ"));
        assert!(error("DLBM=sum").contains("is string, expected a number"));
        assert!(error("SJ=sum").contains("is date"));
        assert!(Aggregates::new(&asked(&["DLBM=count", "SJ=min"]), &schema()).is_ok());
        assert!(Aggregates::new(&asked(&["NO=sum", "NO=sum"]), &schema()).is_err());
    }

    #[test]
    fn joined_values_skip_what_is_missing() {
        let asked = asked(&["TBMJ=sum", "NO=min", "NO=max", "DLBM=count", "SJ=max"]);
        let aggregates = Aggregates::new(&asked, &schema()).unwrap();
        let text = |text: &str| Value::Text(text.into());
        let rows = [
            vec![
                Value::Real(1.5),
                Value::Integer(4),
                text("01"),
                text("2024-01-02"),
            ],
            vec![Value::Null, Value::Integer(-3), Value::Null, Value::Null],
            vec![
                Value::Real(f64::NAN),
                Value::Null,
                text("02"),
                text("2024-01-10"),
            ],
            vec![
                Value::Real(2.0),
                Value::Integer(9),
                text("02"),
                text("2023-12-31"),
            ],
        ];
        let expected = vec![
            Value::Real(3.5),
            Value::Integer(-3),
            Value::Integer(9),
            Value::Integer(3),
            text("2024-01-10"),
        ];
        let mut all = aggregates.of(&rows[0]);
        for row in &rows[1..] {
            aggregates.join(&mut all, &aggregates.of(row));
        }
        assert_eq!(all, expected);
        // The same in two halves.
        let (mut a, mut b) = (aggregates.of(&rows[0]), aggregates.of(&rows[2]));
        aggregates.join(&mut a, &aggregates.of(&rows[1]));
        aggregates.join(&mut b, &aggregates.of(&rows[3]));
        aggregates.join(&mut a, &b);
        assert_eq!(a, expected);
    }
}
