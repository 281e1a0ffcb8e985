//! What covers a position in one layer: labels with how often each covers it.

use super::edges::{Edge, OUTSIDE, OVERLAP};
use super::segment::Arrival;

/// Labels in ascending order with their winding numbers, none of them zero.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct State(Vec<(u32, i32)>);

impl State {
    /// Follows a step over an edge. The outcome does not depend on the order of steps.
    pub fn cross(&mut self, edge: &Edge, arrival: Arrival) {
        let step = match arrival {
            Arrival::Left => 1,
            Arrival::Right => -1,
        };
        self.add(edge.left, step);
        self.add(edge.right, -step);
    }

    fn add(&mut self, label: u32, step: i32) {
        if label == OUTSIDE {
            return;
        }
        match self.0.binary_search_by_key(&label, |entry| entry.0) {
            Err(at) => self.0.insert(at, (label, step)),
            Ok(at) => {
                self.0[at].1 += step;
                if self.0[at].1 == 0 {
                    self.0.remove(at);
                }
            }
        }
    }

    pub fn assign(&mut self, other: &State) {
        self.0.clear();
        self.0.extend_from_slice(&other.0);
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn labels(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().map(|entry| entry.0)
    }

    /// How often the position is covered.
    pub fn cover(&self) -> i32 {
        self.0.iter().map(|entry| entry.1).sum()
    }

    /// Takes the labels of `other` that satisfy `wanted`.
    pub fn extend_where(&mut self, other: &State, wanted: impl Fn(u32) -> bool) {
        for &(label, weight) in &other.0 {
            if wanted(label) {
                self.add(label, weight);
            }
        }
    }

    /// The labels and their weights in a stacked layer: `OUTSIDE` only where nothing covers, and
    /// `OVERLAP` for what covers beyond the first. Labels and `OUTSIDE` less `OVERLAP` are one.
    pub fn stacked_weights(&self) -> impl Iterator<Item = (u32, i32)> + '_ {
        let cover = self.cover();
        let outside = i32::from(cover <= 0);
        let overlap = cover + outside - 1;
        self.0
            .iter()
            .copied()
            .chain((outside != 0).then_some((OUTSIDE, outside)))
            .chain((overlap != 0).then_some((OVERLAP, overlap)))
    }

    /// The labels and their weights; `OUTSIDE` weighs what is missing to one, so that the weights
    /// of every position add up to one.
    pub fn weights(&self) -> impl Iterator<Item = (u32, i32)> + '_ {
        let outside = 1 - self.cover();
        self.0
            .iter()
            .copied()
            .chain((outside != 0).then_some((OUTSIDE, outside)))
    }
}
