//! Conditions on attributes: which features take part.

use crate::format::fgb::ValueRef;

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Equal to one of the values.
    Equal,
    /// Equal to none of them; null is.
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// `FIELD=a,b`: a field compared with values. Numbers are compared as numbers where both sides
/// are, everything else as text. Null satisfies only [`Comparison::Unequal`].
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    pub field: String,
    pub comparison: Comparison,
    /// At least one; exactly one for orders.
    pub values: Vec<String>,
}

impl std::str::FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Condition, String> {
        const SIGNS: [(&str, Comparison); 6] = [
            ("!=", Comparison::Unequal),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("=", Comparison::Equal),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let wrong = || format!("{text:?}: expected FIELD=value, or !=, <, <=, >, >= (条件有误)");
        let at = text.find(['!', '<', '>', '=']).ok_or_else(wrong)?;
        let (field, rest) = text.split_at(at);
        let (sign, comparison) = SIGNS
            .into_iter()
            .find(|(sign, _)| rest.starts_with(sign))
            .ok_or_else(wrong)?;
        let value = &rest[sign.len()..];
        let values: Vec<String> = match comparison {
            Comparison::Equal | Comparison::Unequal => {
                value.split(',').map(|v| v.trim().to_string()).collect()
            }
            _ => vec![value.trim().to_string()],
        };
        if field.trim().is_empty() {
            return Err(wrong());
        }
        Ok(Condition {
            field: field.trim().to_string(),
            comparison,
            values,
        })
    }
}

impl Condition {
    pub(super) fn holds(&self, value: Option<ValueRef<'_>>) -> bool {
        let Some(value) = value else {
            return self.comparison == Comparison::Unequal;
        };
        let order = |with: &str| {
            let number = match value {
                ValueRef::Integer(value) => Some(value as f64),
                ValueRef::Real(value) => Some(value),
                ValueRef::Boolean(_) | ValueRef::Text(_) | ValueRef::Binary(_) => None,
            };
            match (number, with.parse::<f64>()) {
                (Some(a), Ok(b)) => a.partial_cmp(&b),
                _ => Some(super::reader::text(value).as_str().cmp(with)),
            }
        };
        use std::cmp::Ordering::{Equal, Greater, Less};
        let any = |wanted: &[std::cmp::Ordering]| {
            self.values
                .iter()
                .any(|with| order(with).is_some_and(|found| wanted.contains(&found)))
        };
        match self.comparison {
            Comparison::Equal => any(&[Equal]),
            Comparison::Unequal => !any(&[Equal]),
            Comparison::Less => any(&[Less]),
            Comparison::LessOrEqual => any(&[Less, Equal]),
            Comparison::Greater => any(&[Greater]),
            Comparison::GreaterOrEqual => any(&[Greater, Equal]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_and_hold() {
        let holds = |text: &str, value| text.parse::<Condition>().unwrap().holds(value);
        assert!(holds("DLBM=0101,0102", Some(ValueRef::Text("0102"))));
        assert!(!holds("DLBM=0101,0102", Some(ValueRef::Text("010"))));
        assert!(holds("DLBM!=0101", None));
        assert!(!holds("DLBM=0101", None));
        assert!(holds("TBMJ>=100", Some(ValueRef::Real(100.0))));
        assert!(holds("TBMJ<1e3", Some(ValueRef::Integer(999))));
        for wrong in ["DLBM", "=3", "DLBM~3"] {
            assert!(wrong.parse::<Condition>().is_err(), "{wrong}");
        }
    }
}
