//! Fingerprints and how well one matches another.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::named::named;
use crate::profile::MinMatch;

/// Components by name. What a value is, the engine doesn't ask: it compares them as text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(BTreeMap<String, String>);

impl Fingerprint {
    /// One without components.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Sets a component.
    pub fn insert(&mut self, name: String, value: String) {
        self.0.insert(name, value);
    }

    /// A component's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many components there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<BTreeMap<String, String>> for Fingerprint {
    fn from(components: BTreeMap<String, String>) -> Self {
        Self(components)
    }
}

impl FromIterator<(String, String)> for Fingerprint {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(components: I) -> Self {
        Self(components.into_iter().collect())
    }
}

/// How much of what is bound matches: a fraction of weights, kept exact. Where what is bound weighs nothing it is 1.
#[derive(Debug, Clone, Copy)]
pub struct Score {
    matched: u128,
    total: u128,
}

impl Score {
    /// Whether it is at least `min_match`.
    pub fn reaches(self, min_match: MinMatch) -> bool {
        self.is_weightless() || self.matched * 1000 >= u128::from(min_match.thousandths()) * self.total
    }

    /// Whether it is 1.
    pub fn is_full(self) -> bool {
        self.matched == self.total
    }

    /// Whether what is bound weighs nothing: then it tells no machines apart.
    pub fn is_weightless(self) -> bool {
        self.total == 0
    }

    /// Numerator and denominator, with 1 as a whole one.
    fn fraction(self) -> (u128, u128) {
        if self.is_weightless() { (1, 1) } else { (self.matched, self.total) }
    }
}

impl std::fmt::Display for Score {
    /// The fraction of weights, `2/3`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (matched, total) = self.fraction();
        write!(f, "{matched}/{total}")
    }
}

impl Ord for Score {
    /// Compares the fractions by cross-multiplication; a fingerprint's weights are far from overflowing it.
    fn cmp(&self, other: &Self) -> Ordering {
        let ((a, b), (c, d)) = (self.fraction(), other.fraction());
        a.saturating_mul(d).cmp(&c.saturating_mul(b))
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Score {}

/// Scores `observed` against `bound`. A component weighs what `weights` says, else 1; one that `observed` lacks doesn't
/// match; one that was never bound is ignored.
pub fn score(bound: &Fingerprint, observed: &Fingerprint, weights: &BTreeMap<String, u64>) -> Score {
    let mut score = Score { matched: 0, total: 0 };
    for (name, value) in bound.iter() {
        let weight = u128::from(weights.get(name).copied().unwrap_or(1));
        score.total += weight;
        if observed.get(name) == Some(value) {
            score.matched += weight;
        }
    }
    score
}

named! {
    /// How a component that was observed compares with the one that is bound.
    Comparison, "comparison" {
        /// It has the value that is bound.
        Matches = "matches",
        /// It has another one.
        Differs = "differs",
        /// It is bound, and wasn't observed.
        Missing = "missing",
        /// It was observed, and never bound: it doesn't count.
        Unbound = "unbound",
    }
}

/// A component, bound and observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it weighs where it is bound.
    pub weight: u64,
    /// The value that is bound.
    pub bound: Option<&'a str>,
    /// The value that was observed.
    pub observed: Option<&'a str>,
}

impl Compared<'_> {
    /// How the two compare.
    pub fn comparison(&self) -> Comparison {
        match (self.bound, self.observed) {
            (None, _) => Comparison::Unbound,
            (Some(_), None) => Comparison::Missing,
            (bound, observed) if bound == observed => Comparison::Matches,
            _ => Comparison::Differs,
        }
    }
}

/// Every component that is bound or was observed, by name: what [`score`] is made of.
pub fn compare<'a>(
    bound: &'a Fingerprint,
    observed: &'a Fingerprint,
    weights: &BTreeMap<String, u64>,
) -> Vec<Compared<'a>> {
    let names: BTreeSet<&str> = bound.iter().chain(observed.iter()).map(|(name, _)| name).collect();
    let compared = |name| Compared {
        name,
        weight: weights.get(name).copied().unwrap_or(1),
        bound: bound.get(name),
        observed: observed.get(name),
    };
    names.into_iter().map(compared).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Fingerprint, compare, score};
    use crate::MinMatch;

    fn fingerprint(components: &[(&str, &str)]) -> Fingerprint {
        components.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_fraction_is_compared_exactly() {
        let bound = fingerprint(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let two = score(&bound, &fingerprint(&[("a", "1"), ("b", "2"), ("c", "x")]), &BTreeMap::new());
        assert!(two.reaches(MinMatch::parse("0.666").unwrap()));
        assert!(!two.reaches(MinMatch::parse("0.667").unwrap()));
    }

    #[test]
    fn weights_count_missing_components_do_not_match_and_unbound_ones_are_ignored() {
        let bound = fingerprint(&[("a", "1"), ("b", "2")]);
        let weights = BTreeMap::from([("a".to_owned(), 3), ("z".to_owned(), 9)]);
        let most = score(&bound, &fingerprint(&[("a", "1"), ("z", "9")]), &weights);
        assert!(
            most.reaches(MinMatch::parse("0.75").unwrap())
                && !most.reaches(MinMatch::parse("0.751").unwrap())
        );
        assert!(!most.is_full() && score(&bound, &bound, &weights).is_full());
        assert!(most > score(&bound, &fingerprint(&[("b", "2")]), &weights));
    }

    #[test]
    fn each_component_is_compared_by_its_name() {
        let bound = fingerprint(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let observed = fingerprint(&[("a", "1"), ("b", "x"), ("d", "4")]);
        let weights = BTreeMap::from([("b".to_owned(), 5)]);
        let compared: Vec<_> = compare(&bound, &observed, &weights)
            .iter()
            .map(|compared| format!("{} {} {}", compared.name, compared.weight, compared.comparison()))
            .collect();
        assert_eq!(compared, ["a 1 matches", "b 5 differs", "c 1 missing", "d 1 unbound"]);
    }

    #[test]
    fn a_fingerprint_knows_how_many_components_it_has() {
        assert!(Fingerprint::new().is_empty() && fingerprint(&[("a", "1")]).len() == 1);
        let two = fingerprint(&[("a", "1"), ("b", "2")]);
        assert!(!two.is_empty() && two.len() == 2);
    }

    #[test]
    fn unequal_fractions_are_unequal_and_equal_ones_equal_whatever_their_terms() {
        let of = |weights: &[u64; 2]| {
            let bound = fingerprint(&[("a", "1"), ("b", "2")]);
            let weights = BTreeMap::from([("a".to_owned(), weights[0]), ("b".to_owned(), weights[1])]);
            score(&bound, &fingerprint(&[("a", "1")]), &weights)
        };
        assert!(of(&[1, 1]) == of(&[3, 3]) && of(&[1, 1]) != of(&[1, 2]));
    }

    #[test]
    fn what_weighs_nothing_scores_one() {
        let nothing = score(&Fingerprint::new(), &Fingerprint::new(), &BTreeMap::new());
        assert!(
            nothing.is_weightless() && nothing.is_full() && nothing.reaches(MinMatch::parse("1").unwrap())
        );
        let bound = fingerprint(&[("a", "1")]);
        let zero = score(&bound, &Fingerprint::new(), &BTreeMap::from([("a".to_owned(), 0)]));
        assert!(zero.is_weightless() && zero.reaches(MinMatch::parse("1").unwrap()));
        assert!(zero == score(&bound, &bound, &BTreeMap::new()));
    }
}
