//! Small faces join a neighbour, so that nothing is dropped and nothing is left open.
//!
//! Every face below the smallest area joins a neighbour. Where a cell (a tile) holds more than its
//! budget, small faces lose what they say of themselves, and more join, smallest first, as far as
//! the [`Effort`] goes: faces of one class, which changes no colour on the map; then faces that no
//! pixel's middle lies in; then any.
//!
//! A face joins the neighbour of its own class with the longest shared border. Without one, the
//! choice is among the neighbours with a long border: the one whose class has lost most area
//! in this cell so far. The joined face may also take the class of the smaller, when that keeps
//! the sums closer to the truth; and after rounding joined faces take the class they last outvoted
//! where that brings both classes closer ([`even_out`]). So what classes lose in one place they gain in another, and
//! the area of a class stays what it is. A face with the middle of a pixel keeps its class
//! (see `pixels`), unless the last effort has to take it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use rayon::prelude::*;

use super::pixels::{Middles, cell_of};
use super::{Arcs, NONE, Pixels, Point};

/// What is known of a face. A face that joined another keeps its entry.
///
/// A face with a count of 0 that has joined none lies in another part of the layer and is looked
/// after there: borders with it, the *frontier*, stay as they are, and nothing joins it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// Grid units squared.
    pub area: f64,
    /// Number of the class; [`NONE`] when the layer has none.
    pub class: u32,
    /// How many faces it stands for; 0 when it has joined another.
    pub count: u32,
    /// The face it has joined; [`NONE`] when it has joined none.
    pub joined: u32,
    /// A position in or near it.
    pub place: Point,
    /// A class other than its own that it holds as well; [`NONE`] when it holds none.
    pub runner_up: u32,
    /// Shown by its class alone, though it may stand for one feature only.
    pub is_nameless: bool,
}

/// When faces join.
#[derive(Debug, Clone, Copy)]
pub struct MergeOptions {
    /// Faces below this area join a neighbour; grid units squared.
    pub min_area: f64,
    /// Cells are squares of `2^cell_shift` grid units.
    pub cell_shift: u32,
    /// What the faces of a cell may cost; 0 for no limit.
    pub cell_budget: u64,
    /// The grid on which the cost of vertices is estimated: `2^unit_shift` units.
    pub unit_shift: u32,
    /// Where faces keep their class.
    pub pixels: Pixels,
    pub cost: FaceCost,
    /// How far to go where a cell is over its budget.
    pub effort: Effort,
}

/// What a face costs without its vertices.
#[derive(Debug, Clone, Copy)]
pub struct FaceCost {
    /// A face that stands for itself, with what it says.
    pub single: u32,
    /// What comes to it from this area on; grid units squared.
    pub label: u32,
    pub label_area: f64,
    /// A joined or nameless face.
    pub merged: u32,
    /// The same below this area: such faces of a class share what makes a face in a tile.
    pub grouped: u32,
    pub grouped_area: f64,
}

impl FaceCost {
    fn of(&self, face: &Face) -> u32 {
        match (face.count > 1 || face.is_nameless, face.area) {
            (true, area) if area < self.grouped_area => self.grouped,
            (true, _) => self.merged,
            (false, area) if area < self.label_area => self.single,
            (false, _) => self.single + self.label,
        }
    }
}

/// What may join where a cell is over its budget; each includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Only what is below the smallest area.
    Smallest,
    /// None more, but small faces are shown by their class alone.
    Nameless,
    /// Neighbours of one class.
    Equals,
    /// Faces without the middle of a pixel.
    Unseen,
    /// Any, those with the fewest middles first.
    Any,
}

impl Effort {
    pub const ALL: [Effort; 5] = [
        Effort::Smallest,
        Effort::Nameless,
        Effort::Equals,
        Effort::Unseen,
        Effort::Any,
    ];
}

/// What happened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MergeReport {
    pub merged: u64,
    /// Area that is shown in another class than its own, by this call; grid units squared.
    pub reclassed_area: f64,
    /// Cells that are over their budget still, see [`cell_of_arc`].
    pub over: HashSet<u64>,
}

/// The cell that an arc's vertices are counted in.
pub fn cell_of_arc(arcs: &Arcs, arc: usize, cell_shift: u32) -> u64 {
    cell_of(arcs.points_of(arc)[0], cell_shift)
}

/// The cell that a face is counted in.
pub(super) fn cell_of_face(face: &Face, cell_shift: u32) -> u64 {
    cell_of(face.place, cell_shift)
}

/// Area by which each class is over- or under-represented, per cell and class. Carried from
/// level to level by [`Balance::coarser`], and from part to part of the layer by its entries.
#[derive(Debug, Clone, Default)]
pub struct Balance {
    surplus: HashMap<(u64, u32), f64>,
}

/// What a class has too much of in a cell; grid units squared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BalanceEntry {
    pub cell: u64,
    pub class: u32,
    pub surplus: f64,
}

impl Balance {
    /// Of the entries of another one, or of some of them.
    pub fn of_entries(entries: impl IntoIterator<Item = BalanceEntry>) -> Balance {
        let entries = entries.into_iter();
        Balance {
            surplus: entries.map(|e| ((e.cell, e.class), e.surplus)).collect(),
        }
    }

    /// By cell and class.
    pub fn entries(&self) -> Vec<BalanceEntry> {
        let entries = self.surplus.iter();
        let mut entries: Vec<BalanceEntry> = entries
            .filter(|(_, surplus)| **surplus != 0.0)
            .map(|(&(cell, class), &surplus)| BalanceEntry {
                cell,
                class,
                surplus,
            })
            .collect();
        entries.sort_unstable_by_key(|e| (e.cell, e.class));
        entries
    }

    /// The sums over the four cells that make up each cell of the next coarser level.
    pub fn coarser(&self) -> Balance {
        // Sorted, because floating-point sums depend on the order.
        let mut entries: Vec<_> = self.surplus.iter().map(|(&k, &v)| (k, v)).collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        let mut surplus = HashMap::new();
        for ((cell, class), value) in entries {
            let (x, y) = (cell >> 32, cell & 0xFFFF_FFFF);
            *surplus
                .entry(((x >> 1) << 32 | (y >> 1), class))
                .or_insert(0.0) += value;
        }
        Balance { surplus }
    }

    pub(super) fn of(&self, cell: u64, class: u32) -> f64 {
        self.surplus.get(&(cell, class)).copied().unwrap_or(0.0)
    }

    pub(super) fn add(&mut self, cell: u64, class: u32, area: f64) {
        *self.surplus.entry((cell, class)).or_insert(0.0) += area;
    }

    pub(super) fn shift(&mut self, cell: u64, from: u32, to: u32, area: f64) {
        self.add(cell, from, -area);
        self.add(cell, to, area);
    }

    /// By how much the squared errors of two classes grow when an area changes over.
    pub(super) fn cost(&self, cell: u64, from: u32, to: u32, area: f64) -> f64 {
        let growth = |a: f64, b: f64| (a - area).powi(2) - a * a + (b + area).powi(2) - b * b;
        growth(self.of(cell, from), self.of(cell, to))
    }
}

/// Lets small faces join neighbours; arcs within a joined face vanish and the others are linked
/// to longer ones. `faces` is indexed by the sides of the arcs.
pub fn dissolve(
    arcs: Arcs,
    faces: &mut [Face],
    balance: &mut Balance,
    options: &MergeOptions,
) -> (Arcs, MergeReport) {
    let mut merger = Merger::new(&arcs, faces, balance, options);
    merger.look_for_middles();
    for effort in Effort::ALL.into_iter().filter(|e| *e <= options.effort) {
        merger.pass(effort);
    }
    let mut report = std::mem::take(&mut merger.report);
    report.over = merger.cells_over().collect();
    if report.merged == 0 {
        return (arcs, report);
    }
    (link(&arcs, faces), report)
}

/// True for the sides of a border with a face of another part of the layer.
pub(super) fn is_frontier(sides: [u32; 2], faces: &[Face]) -> bool {
    sides.iter().any(|&face| {
        face != NONE && {
            let face = &faces[face as usize];
            face.count == 0 && face.joined == NONE
        }
    })
}

/// Evens class areas out after rounding: `shown` is what each face came to on the map (0 for one
/// that is not there). Joined faces without a middle change to the class they outvoted where that
/// brings both classes closer to the truth.
pub fn even_out(
    arcs: &Arcs,
    faces: &mut [Face],
    balance: &mut Balance,
    shown: &[f64],
    options: &MergeOptions,
) {
    if faces.iter().any(|f| f.count > 1 || f.is_nameless) {
        let mut merger = Merger::new(arcs, faces, balance, options);
        merger.look_for_middles();
        merger.even_out(shown);
    }
}

/// A face may join a neighbour whose border is this share of the longest one.
const LONG_BORDER: f32 = 0.1;
/// A class is far off when this share of a cell is shown in it that is not.
pub(super) const FAR_OFF: f64 = 0.0005;
/// Classes are evened out until nothing changes or this often.
const EVENING_ROUNDS: usize = 8;
const END: u32 = u32::MAX;

struct Merger<'a> {
    arcs: &'a Arcs,
    faces: &'a mut [Face],
    balance: &'a mut Balance,
    options: &'a MergeOptions,
    parent: Vec<u32>,
    /// Per face: its arcs as a linked list of `arc · 2 + side`.
    head: Vec<u32>,
    tail: Vec<u32>,
    next: Vec<u32>,
    length: Vec<f32>,
    cost: Vec<u32>,
    cell_of_arc: Vec<u32>,
    cell_of_face: Vec<u32>,
    cell_key: Vec<u64>,
    cell_cost: Vec<i64>,
    /// Per face: the middles of pixels in it, as far as somebody has looked.
    middles: Vec<Middles>,
    /// The balance with what simplification did.
    error: Balance,
    /// Per cell: whether somebody has looked.
    is_looked_at: Vec<bool>,
    report: MergeReport,
}

/// All middles are looked at when there are at most this many pixels per face.
const PIXELS_PER_FACE: u64 = 16;
/// A face of which nobody knows the middles may change its class below this many smallest areas:
/// a small part of a pixel.
const SMALL_AREAS: f64 = 4.0;

impl<'a> Merger<'a> {
    fn new(
        arcs: &'a Arcs,
        faces: &'a mut [Face],
        balance: &'a mut Balance,
        options: &'a MergeOptions,
    ) -> Merger<'a> {
        let n = faces.len();
        let (mut head, mut tail, mut next) =
            (vec![END; n], vec![END; n], vec![END; arcs.len() * 2]);
        for (arc, sides) in arcs.sides.iter().enumerate() {
            for (side, &face) in sides.iter().enumerate() {
                if face != NONE {
                    let entry = (arc * 2 + side) as u32;
                    append(&mut head, &mut tail, &mut next, face as usize, entry, entry);
                }
            }
        }
        let (length, cost): (Vec<f32>, Vec<u32>) = (0..arcs.len())
            .into_par_iter()
            .with_min_len(1024)
            .map(|arc| measure(arcs.points_of(arc), options.unit_shift))
            .unzip();
        let mut ids: HashMap<u64, u32> = HashMap::new();
        let mut cell_key = Vec::new();
        let mut cell = |p: Point| {
            let key = cell_of(p, options.cell_shift);
            *ids.entry(key).or_insert_with(|| {
                cell_key.push(key);
                (cell_key.len() - 1) as u32
            })
        };
        let cell_of_arc: Vec<u32> = (0..arcs.len())
            .map(|arc| cell(arcs.points_of(arc)[0]))
            .collect();
        let cell_of_face: Vec<u32> = faces.iter().map(|face| cell(face.place)).collect();
        let mut cell_cost = vec![0i64; cell_key.len()];
        for arc in 0..arcs.len() {
            let sides = arcs.sides[arc].iter();
            let sides = sides.filter(|&&face| face != NONE && faces[face as usize].count > 0);
            cell_cost[cell_of_arc[arc] as usize] += i64::from(cost[arc]) * sides.count() as i64;
        }
        for (i, face) in faces.iter().enumerate().filter(|(_, face)| face.count > 0) {
            cell_cost[cell_of_face[i] as usize] += i64::from(options.cost.of(face));
        }
        let mut error = balance.clone();
        let areas = areas_of(arcs, n);
        for (i, face) in faces.iter().enumerate().filter(|(_, face)| face.count > 0) {
            let cell = cell_key[cell_of_face[i] as usize];
            error.add(cell, face.class, areas[i] - face.area);
        }
        Merger {
            arcs,
            balance,
            options,
            parent: (0..n as u32).collect(),
            faces,
            head,
            tail,
            next,
            length,
            cost,
            cell_of_arc,
            cell_of_face,
            cell_key,
            cell_cost,
            middles: vec![Middles::default(); n],
            error,
            is_looked_at: Vec::new(),
            report: MergeReport::default(),
        }
    }

    fn root(&mut self, mut face: u32) -> u32 {
        while self.parent[face as usize] != face {
            let up = self.parent[self.parent[face as usize] as usize];
            self.parent[face as usize] = up;
            face = up;
        }
        face
    }

    fn cells_over(&self) -> impl Iterator<Item = u64> + '_ {
        let budget = self.options.cell_budget;
        self.cell_key
            .iter()
            .zip(&self.cell_cost)
            .filter(move |(_, cost)| budget > 0 && **cost > budget as i64)
            .map(|(key, _)| *key)
    }

    /// Finds the middles of pixels: everywhere when they are not many more than the faces, else
    /// in the cells over their budget.
    fn look_for_middles(&mut self) {
        let (mut min, mut max) = (Point::new(i32::MAX, i32::MAX), Point::new(0, 0));
        for p in &self.arcs.points {
            min = Point::new(min.x.min(p.x), min.y.min(p.y));
            max = Point::new(max.x.max(p.x), max.y.max(p.y));
        }
        let pixels = |low: i32, high: i32| {
            ((i64::from(high) - i64::from(low)).max(0) >> self.options.pixels.shift) as u64 + 1
        };
        let alive = self.faces.iter().filter(|face| face.count > 0).count() as u64;
        let all = pixels(min.x, max.x) * pixels(min.y, max.y) <= PIXELS_PER_FACE * alive;
        let over: HashSet<u64> = self.cells_over().collect();
        self.is_looked_at = self
            .cell_key
            .iter()
            .map(|cell| all || over.contains(cell))
            .collect();
        if all || !over.is_empty() {
            self.middles = self.options.pixels.count(
                self.arcs,
                self.faces.len(),
                self.options.cell_shift,
                |cell| all || over.contains(&cell),
            );
        }
    }

    /// True when no pixel's middle changes its colour with the face's class.
    fn is_unseen(&self, face: u32) -> bool {
        !self.middles[face as usize].any()
            && (self.is_looked_at[self.cell_of_face[face as usize] as usize]
                || self.faces[face as usize].area < SMALL_AREAS * self.options.min_area)
    }

    fn is_due(&self, pass: Effort, face: u32) -> bool {
        match pass {
            Effort::Smallest => self.faces[face as usize].area < self.options.min_area,
            Effort::Nameless | Effort::Equals | Effort::Unseen | Effort::Any => {
                self.options.cell_budget > 0
                    && self.cell_cost[self.cell_of_face[face as usize] as usize]
                        > self.options.cell_budget as i64
            }
        }
    }

    /// Faces are taken in this order.
    fn rank(&self, pass: Effort, face: u32) -> (u32, u32, u64, u32) {
        // Areas are positive, so their bits sort like them.
        let area = self.faces[face as usize].area.to_bits();
        match pass {
            Effort::Any => {
                let Middles { own, coarser } = self.middles[face as usize];
                (coarser, own, area, face)
            }
            _ => (0, 0, area, face),
        }
    }

    fn pass(&mut self, pass: Effort) {
        let mut queue: BinaryHeap<Reverse<(u32, u32, u64, u32)>> = (0..self.faces.len() as u32)
            .filter(|&face| self.faces[face as usize].count > 0 && self.is_due(pass, face))
            .map(|face| Reverse(self.rank(pass, face)))
            .collect();
        let mut borders: Vec<(u32, f32)> = Vec::new();
        while let Some(Reverse(rank)) = queue.pop() {
            let face = rank.3;
            if self.faces[face as usize].count == 0
                || self.rank(pass, face) != rank
                || !self.is_due(pass, face)
            {
                continue;
            }
            if pass == Effort::Nameless {
                self.drop_name(face);
                continue;
            }
            self.collect_borders(face, &mut borders);
            let Some((into, class)) = self.choose(face, &borders, pass) else {
                continue;
            };
            self.join(face, into, class);
            if self.is_due(pass, into) {
                queue.push(Reverse(self.rank(pass, into)));
            }
        }
    }

    fn drop_name(&mut self, face: u32) {
        let known = self.faces[face as usize];
        if known.count == 1 && !known.is_nameless && known.area < self.options.cost.grouped_area {
            self.faces[face as usize].is_nameless = true;
            self.report.merged += 1;
            self.cell_cost[self.cell_of_face[face as usize] as usize] +=
                i64::from(self.options.cost.of(&self.faces[face as usize]))
                    - i64::from(self.options.cost.of(&known));
        }
    }

    /// Faces without a name change their class where that brings two classes closer to the truth:
    /// joined ones to the class they outvoted; while a class is far off, small ones to the class of
    /// a neighbour as well, which is what joining it would have done.
    fn even_out(&mut self, shown: &[f64]) {
        let mut error = self.balance.clone();
        let mut area_of_cell = vec![0.0; self.cell_key.len()];
        for (i, face) in self.faces.iter().enumerate().filter(|(_, f)| f.count > 0) {
            let cell = self.cell_of_face[i] as usize;
            area_of_cell[cell] += face.area;
            error.add(self.cell_key[cell], face.class, shown[i] - face.area);
        }
        let mut order: Vec<u32> = (0..self.faces.len() as u32)
            .filter(|&i| {
                let face = &self.faces[i as usize];
                (face.count > 1 || (face.count == 1 && face.is_nameless))
                    && shown[i as usize] > 0.0
                    && self.is_unseen(i)
            })
            .collect();
        order.sort_by(|&a, &b| {
            shown[b as usize]
                .total_cmp(&shown[a as usize])
                .then(a.cmp(&b))
        });
        let mut borders: Vec<(u32, f32)> = Vec::new();
        for _ in 0..EVENING_ROUNDS {
            let mut changed = false;
            for &i in &order {
                let face = self.faces[i as usize];
                let number = self.cell_of_face[i as usize] as usize;
                let cell = self.cell_key[number];
                let area = shown[i as usize];
                let mut best = (0.0, NONE);
                let mut offer = |class: u32| {
                    let cost = error.cost(cell, face.class, class, area);
                    if class != face.class && cost < best.0 {
                        best = (cost, class);
                    }
                };
                if face.runner_up != NONE {
                    offer(face.runner_up);
                }
                if face.area < self.options.cost.grouped_area
                    && error.of(cell, face.class) > FAR_OFF * area_of_cell[number]
                {
                    self.collect_borders(i, &mut borders);
                    for &(other, _) in &borders {
                        offer(self.faces[other as usize].class);
                    }
                }
                let (_, class) = best;
                if class != NONE {
                    error.shift(cell, face.class, class, area);
                    self.balance.shift(cell, face.class, class, face.area);
                    self.faces[i as usize].class = class;
                    self.faces[i as usize].runner_up = face.class;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
    }

    /// The neighbours with the length of the shared border, in the order of their numbers.
    fn collect_borders(&mut self, face: u32, borders: &mut Vec<(u32, f32)>) {
        borders.clear();
        let mut entry = self.head[face as usize];
        while entry != END {
            let arc = (entry >> 1) as usize;
            let other = self.arcs.sides[arc][1 - (entry & 1) as usize];
            if other != NONE {
                let other = self.root(other);
                if other != face && self.faces[other as usize].count > 0 {
                    borders.push((other, self.length[arc]));
                }
            }
            entry = self.next[entry as usize];
        }
        borders.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        borders.dedup_by(|gone, kept| {
            let same = gone.0 == kept.0;
            if same {
                kept.1 += gone.1;
            }
            same
        });
    }

    /// Whom to join, and the class of both then.
    fn choose(&self, face: u32, borders: &[(u32, f32)], pass: Effort) -> Option<(u32, u32)> {
        let own = self.faces[face as usize];
        let longest = |list: &mut dyn Iterator<Item = &(u32, f32)>| {
            list.copied()
                .reduce(|best, next| if next.1 > best.1 { next } else { best })
        };
        let same = longest(
            &mut borders
                .iter()
                .filter(|(other, _)| self.faces[*other as usize].class == own.class),
        );
        if let Some((into, _)) = same {
            return Some((into, own.class));
        }
        // A face in which somebody looks for its class is taken by the last effort only.
        if pass == Effort::Equals || (pass != Effort::Any && self.middles[face as usize].any()) {
            return None;
        }
        let (_, length) = longest(&mut borders.iter())?;
        let cell = self.cell_key[self.cell_of_face[face as usize] as usize];
        let cost = |from: u32, to: u32, area: f64| self.error.cost(cell, from, to, area);
        let mut best: Option<(f64, u32, u32)> = None;
        for &(other, _) in borders
            .iter()
            .filter(|(_, border)| *border >= length * LONG_BORDER)
        {
            let theirs = self.faces[other as usize];
            let mut offer = |cost: f64, class: u32| {
                if best.is_none_or(|(least, _, _)| cost < least) {
                    best = Some((cost, other, class));
                }
            };
            offer(cost(own.class, theirs.class, own.area), theirs.class);
            // Taking the smaller one's class is a larger lie; only among like-sized faces.
            if theirs.area < 3.0 * own.area && self.is_unseen(other) {
                offer(cost(theirs.class, own.class, theirs.area), own.class);
            }
        }
        best.map(|(_, into, class)| (into, class))
    }

    fn join(&mut self, face: u32, into: u32, class: u32) {
        let (small, large) = (self.faces[face as usize], self.faces[into as usize]);
        let (cell, cell_into) = (
            self.cell_of_face[face as usize],
            self.cell_of_face[into as usize],
        );
        if small.class != large.class {
            let (lost, from) = if class == large.class {
                (small.area, small.class)
            } else {
                (large.area, large.class)
            };
            let cell = self.cell_key[cell as usize];
            self.balance.shift(cell, from, class, lost);
            self.error.shift(cell, from, class, lost);
            self.report.reclassed_area += lost;
        }
        let mut entry = self.head[face as usize];
        while entry != END {
            let arc = (entry >> 1) as usize;
            let other = self.arcs.sides[arc][1 - (entry & 1) as usize];
            if other != NONE && self.root(other) == into {
                self.cell_cost[self.cell_of_arc[arc] as usize] -= 2 * i64::from(self.cost[arc]);
            }
            entry = self.next[entry as usize];
        }
        self.cell_cost[cell as usize] -= i64::from(self.options.cost.of(&small));
        self.cell_cost[cell_into as usize] -= i64::from(self.options.cost.of(&large));
        let (from, to) = (self.head[face as usize], self.tail[face as usize]);
        if from != END {
            append(
                &mut self.head,
                &mut self.tail,
                &mut self.next,
                into as usize,
                from,
                to,
            );
        }
        self.parent[face as usize] = into;
        let outvoted = [small.class, large.class, large.runner_up, small.runner_up];
        let runner_up = outvoted
            .into_iter()
            .find(|&other| other != class && other != NONE);
        self.faces[into as usize] = Face {
            runner_up: runner_up.unwrap_or(NONE),
            area: small.area + large.area,
            class,
            count: small.count + large.count,
            place: large.place,
            joined: NONE,
            is_nameless: large.is_nameless,
        };
        self.cell_cost[cell_into as usize] +=
            i64::from(self.options.cost.of(&self.faces[into as usize]));
        let middles = self.middles[face as usize];
        self.middles[into as usize].add(middles);
        self.faces[face as usize].count = 0;
        self.faces[face as usize].joined = into;
        self.report.merged += 1;
    }
}

/// What each face covers, from its arcs; grid units squared.
pub fn areas_of(arcs: &Arcs, faces: usize) -> Vec<f64> {
    let mut areas = vec![0.0; faces];
    for (arc, sides) in arcs.sides.iter().enumerate() {
        let doubled = swept(arcs.points_of(arc));
        for (&face, sign) in sides.iter().zip([0.5, -0.5]) {
            if face != NONE {
                areas[face as usize] += sign * doubled as f64;
            }
        }
    }
    areas
}

/// Twice the area that an arc adds to the face on its left.
pub(super) fn swept(points: &[Point]) -> i128 {
    points
        .windows(2)
        .map(|p| i128::from(p[0].x) * i128::from(p[1].y) - i128::from(p[1].x) * i128::from(p[0].y))
        .sum()
}

fn append(head: &mut [u32], tail: &mut [u32], next: &mut [u32], face: usize, from: u32, to: u32) {
    if head[face] == END {
        head[face] = from;
    } else {
        next[tail[face] as usize] = from;
    }
    tail[face] = to;
}

/// Length in grid units, and the bytes its vertices take as zigzag varints on the coarse grid.
fn measure(points: &[Point], unit_shift: u32) -> (f32, u32) {
    let (mut length, mut cost) = (0.0f64, 0u32);
    for p in points.windows(2) {
        length +=
            (f64::from(p[1].x) - f64::from(p[0].x)).hypot(f64::from(p[1].y) - f64::from(p[0].y));
        let bytes = |a: i32, b: i32| {
            let delta = ((b >> unit_shift) - (a >> unit_shift)).unsigned_abs();
            1 + u32::from(delta >= 64) + u32::from(delta >= 8192)
        };
        if p[0].x >> unit_shift != p[1].x >> unit_shift
            || p[0].y >> unit_shift != p[1].y >> unit_shift
        {
            cost += bytes(p[0].x, p[1].x) + bytes(p[0].y, p[1].y);
        }
    }
    (length as f32, cost)
}

/// Gives arcs the faces that theirs joined, drops the ones between equals and links the rest
/// where only two of them meet, but for the frontier.
pub fn link(arcs: &Arcs, faces: &[Face]) -> Arcs {
    let root = |mut face: u32| {
        while face != NONE && faces[face as usize].joined != NONE {
            face = faces[face as usize].joined;
        }
        face
    };
    let sides: Vec<[u32; 2]> = arcs
        .sides
        .par_iter()
        .with_min_len(4096)
        .map(|s| s.map(root))
        .collect();
    let alive = |arc: usize| sides[arc][0] != sides[arc][1];
    let mut ends: Vec<(u64, u32)> = Vec::with_capacity(arcs.len() * 2);
    for arc in (0..arcs.len()).filter(|&arc| alive(arc)) {
        let points = arcs.points_of(arc);
        ends.push((points[0].key(), (arc as u32) << 1));
        ends.push((points[points.len() - 1].key(), (arc as u32) << 1 | 1));
    }
    ends.par_sort_unstable();
    let leaving = |end: u32| {
        let [left, right] = sides[(end >> 1) as usize];
        if end & 1 == 0 {
            [left, right]
        } else {
            [right, left]
        }
    };
    let mut link = vec![END; arcs.len() * 2];
    for group in ends.chunk_by(|a, b| a.0 == b.0) {
        if let [(_, one), (_, two)] = *group {
            let [left, right] = leaving(one);
            if leaving(two) == [right, left] && !is_frontier([left, right], faces) {
                link[one as usize] = two;
                link[two as usize] = one;
            }
        }
    }
    let mut used = vec![false; arcs.len()];
    let mut out = Arcs::default();
    out.points.reserve(arcs.points.len());
    let mut walk = |from: u32, used: &mut Vec<bool>| {
        let mut at = from;
        let mut first = true;
        loop {
            used[(at >> 1) as usize] = true;
            let points = arcs.points_of((at >> 1) as usize);
            let skip = usize::from(!first);
            if at & 1 == 0 {
                out.points.extend(points.iter().skip(skip));
            } else {
                out.points.extend(points.iter().rev().skip(skip));
            }
            first = false;
            let next = link[(at ^ 1) as usize];
            if next == END || used[(next >> 1) as usize] {
                break;
            }
            at = next;
        }
        out.ends.push(out.points.len() as u32);
        out.sides.push(leaving(from));
    };
    // In the order of the arcs, so that neighbours in the plane stay neighbours in the list.
    for arc in (0..arcs.len()).filter(|&arc| alive(arc)) {
        if used[arc] {
            continue;
        }
        let mut start = (arc as u32) << 1;
        // Back to where the chain starts, or once around.
        while link[start as usize] != END {
            start = link[start as usize] ^ 1;
            if start >> 1 == arc as u32 {
                break;
            }
        }
        walk(start, &mut used);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Rings, build};
    use super::*;

    fn options(min_area: f64) -> MergeOptions {
        MergeOptions {
            min_area,
            cell_shift: 20,
            cell_budget: 0,
            unit_shift: 1,
            pixels: Pixels { shift: 20 },
            cost: FaceCost {
                single: 40,
                label: 0,
                label_area: 0.0,
                merged: 20,
                grouped: 0,
                grouped_area: 0.0,
            },
            effort: Effort::Any,
        }
    }

    /// Squares of 10 units in a row, with the given classes.
    fn row(classes: &[u32]) -> (Arcs, Vec<Face>) {
        let mut rings = Rings::default();
        let mut faces = Vec::new();
        for (i, &class) in classes.iter().enumerate() {
            let x = i as i32 * 10;
            rings.push(
                i as u32,
                [(x, 0), (x + 10, 0), (x + 10, 10), (x, 10)].map(|(x, y)| Point::new(x, y)),
            );
            faces.push(Face {
                area: 100.0,
                class,
                count: 1,
                place: Point::new(x, 0),
                runner_up: NONE,
                joined: NONE,
                is_nameless: false,
            });
        }
        (build(&rings), faces)
    }

    #[test]
    fn a_small_face_joins_the_neighbour_of_its_class() {
        let (arcs, mut faces) = row(&[1, 2, 2]);
        faces[1].area = 50.0;
        let (out, report) = dissolve(
            arcs.clone(),
            &mut faces,
            &mut Balance::default(),
            &options(60.0),
        );
        assert_eq!((report.merged, report.reclassed_area), (1, 0.0));
        assert_eq!((faces[1].count, faces[2].count), (0, 2));
        // Outer border of 0, the border 0|2, outer border of 2.
        assert_eq!(out.len(), 3);
    }

    #[test]
    fn what_a_class_loses_it_gains_elsewhere() {
        let classes: Vec<u32> = (0..400).map(|i| (i * 7 % 11) % 3).collect();
        let (arcs, mut faces) = row(&classes);
        let mut balance = Balance::default();
        dissolve(arcs.clone(), &mut faces, &mut balance, &options(500.0));
        for class in 0..3u32 {
            let truth = classes.iter().filter(|&&c| c == class).count() as f64 * 100.0;
            let shown: f64 = faces
                .iter()
                .filter(|f| f.count > 0 && f.class == class)
                .map(|f| f.area)
                .sum();
            assert!(
                (shown - truth).abs() < 0.03 * truth,
                "class {class}: {shown} of {truth}"
            );
        }
        assert!(
            faces
                .iter()
                .filter(|f| f.count > 0)
                .all(|f| f.area >= 500.0)
        );
        assert_eq!(faces.iter().map(|f| f.count).sum::<u32>(), 400);
    }

    #[test]
    fn a_cell_over_its_budget_joins_equals_before_it_mixes() {
        let (arcs, mut faces) = row(&[1, 1, 2, 2, 3]);
        let budget = MergeOptions {
            cell_budget: 1,
            ..options(0.0)
        };
        let (_, report) = dissolve(arcs.clone(), &mut faces, &mut Balance::default(), &budget);
        assert_eq!(report.merged, 4);
        let (arcs, mut faces) = row(&[1, 1, 2, 2, 3]);
        let budget = MergeOptions {
            cell_budget: 160,
            ..options(0.0)
        };
        let (_, report) = dissolve(arcs.clone(), &mut faces, &mut Balance::default(), &budget);
        assert!(report.merged <= 2, "{report:?}");
        assert_eq!(report.reclassed_area, 0.0);
    }
}
