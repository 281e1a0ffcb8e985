//! Directed segments on the integer grid and the one question asked of them: do two of them cross?
//!
//! Every decision is exact. Degenerate positions do not exist: the layer of lower rank is thought
//! to be moved by (ε, ε²) against the layer of higher rank, with ε > 0 smaller than any coordinate
//! difference (simulation of simplicity: H. Edelsbrunner and E. P. Mücke, "Simulation of
//! Simplicity", ACM Transactions on Graphics 9 (1990)). So a crossing is always proper, collinear
//! segments never cross, and a shared border becomes a gap of no width and no area.

/// A position on the grid.
pub type GridPoint = [i64; 2];

/// Bits behind the binary point of a crossing's coordinates.
pub(super) const FRACTION_BITS: u32 = 16;
const FRACTION: f64 = (1u32 << FRACTION_BITS) as f64;

/// Up to this extent of a segment along an axis its predicates fit 64-bit integers:
/// differences of two such overlapping segments stay below 2³⁰, determinants below 2⁶¹.
const SHORT: i64 = 1 << 29;

/// How the asking layer is moved against the asked one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shift {
    /// By (ε, ε²): the asking layer has the lower rank.
    Forward,
    /// By (−ε, −ε²): the asking layer has the higher rank.
    Backward,
}

impl Shift {
    /// How something of rank `asking` is moved against something of rank `asked`; nothing is
    /// moved against itself.
    #[inline]
    pub fn between(asking: u32, asked: u32) -> Option<Shift> {
        match asking.cmp(&asked) {
            std::cmp::Ordering::Less => Some(Shift::Forward),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(Shift::Backward),
        }
    }
}

/// A directed, non-empty segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub from: GridPoint,
    pub to: GridPoint,
}

/// Over which side of the crossed segment one arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// From its right side to its left side.
    Left,
    /// From its left side to its right side.
    Right,
}

impl Segment {
    #[inline]
    fn extent(&self) -> [i64; 2] {
        [self.to[0] - self.from[0], self.to[1] - self.from[1]]
    }

    /// Smallest and largest coordinate on each axis.
    #[inline]
    pub fn bounds(&self) -> [i64; 4] {
        [
            self.from[0].min(self.to[0]),
            self.from[1].min(self.to[1]),
            self.from[0].max(self.to[0]),
            self.from[1].max(self.to[1]),
        ]
    }
}

/// Whether walking `a`, moved by `shift`, crosses `b`, and to which side of `b` that leads.
/// A segment `a` without length crosses nothing.
#[inline]
pub(super) fn crossing(a: &Segment, b: &Segment, shift: Shift) -> Option<Arrival> {
    let (box_a, box_b) = (a.bounds(), b.bounds());
    if box_a[0] > box_b[2] || box_b[0] > box_a[2] || box_a[1] > box_b[3] || box_b[1] > box_a[3] {
        return None;
    }
    let (da, db) = (a.extent(), b.extent());
    let reach = da[0].abs() | da[1].abs() | db[0].abs() | db[1].abs();
    if reach < SHORT {
        decided(a, b, shift, side_short)
    } else {
        decided_long(a, b, shift)
    }
}

#[cold]
fn decided_long(a: &Segment, b: &Segment, shift: Shift) -> Option<Arrival> {
    decided(a, b, shift, side_long)
}

/// The decision, `side` giving the sign of d × (p − origin).
#[inline]
fn decided(
    a: &Segment,
    b: &Segment,
    shift: Shift,
    side: impl Fn(GridPoint, [i64; 2], GridPoint) -> i64,
) -> Option<Arrival> {
    let (da, db) = (a.extent(), b.extent());
    let sign = match shift {
        Shift::Forward => 1,
        Shift::Backward => -1,
    };
    // The sign of the determinant of the moved point, when the unmoved one is on the line.
    let tie_b = if db[1] != 0 {
        -db[1].signum()
    } else {
        db[0].signum()
    } * sign;
    let pick = |exact: i64, tie: i64| if exact != 0 { exact } else { tie };
    let start = pick(side(b.from, db, a.from), tie_b);
    let end = pick(side(b.from, db, a.to), tie_b);
    if start == end {
        return None;
    }
    let tie_a = if da[1] != 0 {
        da[1].signum()
    } else {
        -da[0].signum()
    } * sign;
    let low = pick(side(a.from, da, b.from), tie_a);
    let high = pick(side(a.from, da, b.to), tie_a);
    if low == high {
        return None;
    }
    Some(if end > 0 {
        Arrival::Left
    } else {
        Arrival::Right
    })
}

/// Sign of d × (p − origin).
#[inline]
fn side_short(origin: GridPoint, d: [i64; 2], p: GridPoint) -> i64 {
    (d[0] * (p[1] - origin[1]) - d[1] * (p[0] - origin[0])).signum()
}

/// The same where 64 bits do not suffice.
fn side_long(origin: GridPoint, d: [i64; 2], p: GridPoint) -> i64 {
    determinant(origin, d, p).signum() as i64
}

fn determinant(origin: GridPoint, d: [i64; 2], p: GridPoint) -> i128 {
    i128::from(d[0]) * i128::from(p[1] - origin[1])
        - i128::from(d[1]) * i128::from(p[0] - origin[0])
}

/// Where two crossing segments meet, in 2⁻¹⁶ grid units, relative to the grid's origin.
/// Both layers must ask with the same order of arguments (lower rank first): they then see the
/// very same point, which is what makes the boundaries of all pieces close exactly. The directions
/// of the segments do not matter.
pub(super) fn meeting_point(lower: &Segment, upper: &Segment) -> GridPoint {
    let lower = if lower.from < lower.to {
        *lower
    } else {
        Segment {
            from: lower.to,
            to: lower.from,
        }
    };
    let d = upper.extent();
    let start = determinant(upper.from, d, lower.from);
    let end = determinant(upper.from, d, lower.to);
    // Not zero: two points on the line are moved to the same side of it, so nothing crosses.
    let along = start as f64 / (start - end) as f64;
    let extent = lower.extent();
    let at = |axis: usize| {
        (lower.from[axis] << FRACTION_BITS)
            + (along * extent[axis] as f64 * FRACTION).round() as i64
    };
    [at(0), at(1)]
}

/// Twice the area between the step from `p` to `q` and the y axis, in square units of the points.
/// Sums of these wrap around: only the total of a closed boundary has to fit.
#[inline]
pub(super) fn twice_area(p: GridPoint, q: GridPoint) -> i128 {
    i128::from(p[0] + q[0]) * i128::from(q[1] - p[1])
}

/// A position on the longer axis of a segment, increasing in its direction.
pub(super) fn position_along(segment: &Segment, point: GridPoint) -> i64 {
    let extent = segment.extent();
    let axis = usize::from(extent[1].abs() > extent[0].abs());
    point[axis] * extent[axis].signum()
}
