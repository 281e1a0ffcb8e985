//! The work on one part at one zoom: what goes, and what is shown.

use std::collections::{BTreeMap, HashMap};

use xxhash_rust::xxh3::xxh3_64;

use super::arc_store::{ArcStore, Packed};
use super::division::{Division, Part};
use crate::format::pyramid::{
    BASE_BITS, Block, EXTENT_BITS, GridBox, LevelFace, NONE, Vanished, block, is_grouped,
};
use crate::model::{Aggregates, Value};
use crate::store::StoreError;
use crate::topology::{
    Arcs, Balance, BalanceEntry, ClipLines, Face, FaceRings, MergeOptions, Point, Tolerance,
    areas_of, even_out, generalise, link, snap, trace,
};

/// One zoom, as far as all parts have it in common.
pub struct Zoom<'a> {
    pub zoom: u8,
    pub margin: u32,
    pub division: Division,
    pub merge: MergeOptions,
    pub tolerance: Tolerance,
    /// Per feature and per class: a hash of what it says in a tile.
    pub looks: &'a [u64],
    pub class_looks: &'a [u64],
    pub aggregates: &'a Aggregates,
    /// What the values of the features in each face came to; empty when nobody asked.
    pub results: &'a [Vec<Value>],
}

/// A part after generalisation.
pub struct Generalised {
    pub arcs: Packed,
    /// The part's faces in their order.
    pub faces: Vec<Face>,
    /// How many vertices each has on its borders.
    pub vertices: Vec<u32>,
    pub balance: Vec<BalanceEntry>,
}

/// A part as it is shown.
pub struct Shown {
    pub block: Block,
    pub faces: Vec<Face>,
    pub balance: Vec<BalanceEntry>,
    /// What each class came to; squared base units.
    pub class_areas: BTreeMap<u32, f64>,
    pub vanished_features: u64,
    /// Borders of faces that could not be walked; 0 in a coverage.
    pub unclosed: u64,
}

impl Zoom<'_> {
    /// Takes away what the zoom does not show, from the arcs of the zoom before. `faces` are those
    /// of the layer before this step.
    pub fn generalise(
        &self,
        faces: &[Face],
        part: &Part,
        before: &ArcStore,
        balance: &[BalanceEntry],
    ) -> Result<Generalised, StoreError> {
        let mut local = Local::of(faces, part, before)?;
        let mut balance = Balance::of_entries(balance.iter().copied());
        if before.is_of_several_parts() {
            // What was joined beyond the part's own borders may have made one arc of two.
            local.arcs = link(&local.arcs, &local.faces);
        }
        let arcs = generalise(
            std::mem::take(&mut local.arcs),
            &mut local.faces,
            &mut balance,
            &self.merge,
            self.tolerance,
        );
        let mut vertices = vec![0; part.own.len()];
        for (arc, sides) in arcs.sides.iter().enumerate() {
            for &side in sides {
                if let Some(vertices) = vertices.get_mut(side as usize) {
                    *vertices += arcs.range(arc).len() as u32;
                }
            }
        }
        let handed_on = (0..arcs.len()).filter(|&arc| {
            let sides = arcs.sides[arc].iter().filter(|&&side| side != NONE);
            let places = sides.map(|&side| faces[local.global(side) as usize].place);
            self.division.is_in_charge(part.number, places)
        });
        let arcs = Packed::of(handed_on.map(|arc| {
            (
                arcs.sides[arc].map(|side| local.global(side)),
                arcs.points_of(arc),
            )
        }));
        Ok(Generalised {
            arcs,
            vertices,
            balance: balance.entries(),
            faces: local.own_faces(),
        })
    }

    /// Rounds to the zoom's grid and walks the rings, from the arcs and faces of this zoom.
    pub fn show(
        &self,
        faces: &[Face],
        part: &Part,
        now: &ArcStore,
        balance: &[BalanceEntry],
    ) -> Result<Shown, StoreError> {
        let mut local = Local::of(faces, part, now)?;
        if self.division != Division::WHOLE {
            local.add_what_is_near(faces, self.zoom, now)?;
        }
        let lines = ClipLines {
            period_shift: EXTENT_BITS,
            margin: self.margin as i32,
        };
        let snapped = snap(&local.arcs, unit_shift(self.zoom), Some(lines));
        let mut snapped = match local.foreign.is_empty() {
            true => snapped,
            false => own_sides(&snapped, part.own.len()),
        };
        let mut rings = trace(&snapped);
        if rings.faces.is_empty() && self.division == Division::WHOLE {
            self.keep_something(&local, &mut snapped);
            rings = trace(&snapped);
        }
        let unit2 = f64::from(1u32 << unit_shift(self.zoom)).powi(2);
        let mut shown = areas_of(&snapped, local.faces.len());
        shown.iter_mut().for_each(|area| *area *= unit2);
        let mut balance = Balance::of_entries(balance.iter().copied());
        even_out(
            &local.arcs,
            &mut local.faces,
            &mut balance,
            &shown,
            &self.merge,
        );
        let (inherited, vanished) = self.vanished(part, &local, &rings);
        let describe = |number: u32| {
            let heirlooms = inherited.get(&number).map_or(&[][..], Vec::as_slice);
            let stands_for = heirlooms
                .iter()
                .map(|&gone| local.faces[gone as usize].count)
                .sum();
            self.describe(
                part.own[number as usize],
                &local.faces[number as usize],
                stands_for,
            )
        };
        let results = |number: u32| {
            let face = &local.faces[number as usize];
            if self.results.is_empty() || is_named(face) {
                return Vec::new();
            }
            let of = |number: u32| &self.results[part.own[number as usize] as usize];
            let mut results = of(number).clone();
            for &gone in inherited.get(&number).into_iter().flatten() {
                self.aggregates.join(&mut results, of(gone));
            }
            results
        };
        Ok(Shown {
            block: block(&snapped, &rings, &vanished, describe, results),
            vanished_features: vanished.iter().map(|v| u64::from(v.count)).sum(),
            unclosed: rings.unclosed,
            class_areas: class_areas(&local.faces, &shown),
            faces: local.own_faces(),
            balance: balance.entries(),
        })
    }

    /// A level of which nothing is left shows a square of one unit for all of it.
    fn keep_something(&self, local: &Local<'_>, snapped: &mut Arcs) {
        let alive = (0u32..)
            .zip(&local.faces)
            .filter(|(_, face)| face.count > 0);
        let Some((number, face)) = alive.max_by(|a, b| a.1.area.total_cmp(&b.1.area)) else {
            return;
        };
        let shift = unit_shift(self.zoom);
        let (x, y) = (face.place.x >> shift, face.place.y >> shift);
        let square = [(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1), (x, y)];
        snapped.push(square.map(|(x, y)| Point::new(x, y)), [number, NONE]);
    }

    /// A face as the level says it; `inherited` features more than its own.
    fn describe(&self, number: u32, face: &Face, inherited: u32) -> LevelFace {
        let is_named = is_named(face);
        let mut shown = LevelFace {
            feature: if is_named { number } else { NONE },
            class: face.class,
            count: face.count + inherited,
            area: face.area,
            ..LevelFace::default()
        };
        let says = match (is_named, self.class_looks.get(face.class as usize)) {
            (true, _) => self.looks[number as usize],
            (false, Some(class)) => *class,
            (false, None) => 0,
        };
        let mut look = [0; 10];
        look[..8].copy_from_slice(&says.to_le_bytes());
        look[8] = u8::from(is_named);
        // Whether it shares a feature of the tile.
        look[9] = u8::from(is_grouped(&shown, self.zoom));
        shown.digest = xxh3_64(&look);
        shown
    }

    /// What becomes of the faces that rounding left nothing of: a joined neighbour that is shown
    /// stands for them as well, the others vanish. One between faces of other parts could not join
    /// any of them yet; the nearest joined face of the part stands for it.
    fn vanished(
        &self,
        part: &Part,
        local: &Local<'_>,
        rings: &FaceRings,
    ) -> (HashMap<u32, Vec<u32>>, Vec<Vanished>) {
        let Local { arcs, faces, .. } = local;
        let mut is_shown = vec![false; faces.len()];
        for &face in &rings.faces {
            is_shown[face as usize] = true;
        }
        let own = part.own.len();
        let mut is_outer = vec![false; own];
        let mut heir: BTreeMap<u32, u32> = BTreeMap::new();
        for sides in &arcs.sides {
            for [gone, other] in [[sides[0], sides[1]], [sides[1], sides[0]]] {
                if gone == NONE || other == NONE {
                    continue;
                }
                if (gone as usize) < own && other as usize >= own {
                    is_outer[gone as usize] = true;
                }
                if !is_shown[gone as usize]
                    && is_shown[other as usize]
                    && faces[other as usize].count > 1
                {
                    let heir = heir.entry(gone).or_insert(other);
                    *heir = other.min(*heir);
                }
            }
        }
        let nearest = |place: Point| {
            let far = |other: &Face| {
                let apart = |a: i32, b: i32| i64::from(a).abs_diff(i64::from(b));
                apart(other.place.x, place.x) + apart(other.place.y, place.y)
            };
            let joined = rings.faces.iter().copied();
            let joined = joined.filter(|&face| faces[face as usize].count > 1);
            joined.min_by_key(|&face| (far(&faces[face as usize]), face))
        };
        let shift = unit_shift(self.zoom);
        let (mut inherited, mut vanished) = (HashMap::new(), Vec::new());
        for (number, face) in (0u32..).zip(&faces[..own]) {
            if face.count == 0 || is_shown[number as usize] {
                continue;
            }
            let neighbour = heir.get(&number).copied();
            let heir = neighbour.or_else(|| match is_outer[number as usize] {
                true => nearest(face.place),
                false => None,
            });
            match heir {
                Some(heir) => inherited.entry(heir).or_insert_with(Vec::new).push(number),
                None => vanished.push(Vanished {
                    place: Point::new(face.place.x >> shift, face.place.y >> shift),
                    count: face.count,
                }),
            }
        }
        (inherited, vanished)
    }
}

/// True for a face that is shown as the one feature it stands for.
fn is_named(face: &Face) -> bool {
    face.count == 1 && !face.is_nameless
}

/// Base units in a unit of the zoom's grid, as a power of two.
pub fn unit_shift(zoom: u8) -> u32 {
    BASE_BITS - EXTENT_BITS - u32::from(zoom)
}

/// The areas of faces, added up by class.
pub fn class_areas(faces: &[Face], of_faces: &[f64]) -> BTreeMap<u32, f64> {
    let mut areas = BTreeMap::new();
    for (face, area) in faces.iter().zip(of_faces).filter(|(f, _)| f.count > 0) {
        *areas.entry(face.class).or_insert(0.0) += area;
    }
    areas
}

/// The arcs beside the first `own` faces; what lies on their other sides is not said.
fn own_sides(arcs: &Arcs, own: usize) -> Arcs {
    let mut out = Arcs::default();
    for (arc, sides) in arcs.sides.iter().enumerate() {
        let sides = sides.map(|side| if (side as usize) < own { side } else { NONE });
        if sides != [NONE, NONE] {
            out.push(arcs.points_of(arc).iter().copied(), sides);
        }
    }
    out
}

/// A part's arcs and faces under numbers of its own: first its faces in their order, then those
/// of other parts beside them.
struct Local<'a> {
    own: &'a [u32],
    foreign: Vec<u32>,
    number_of_foreign: HashMap<u32, u32>,
    arcs: Arcs,
    faces: Vec<Face>,
}

impl<'a> Local<'a> {
    fn of(faces: &[Face], part: &'a Part, store: &ArcStore) -> Result<Local<'a>, StoreError> {
        let mut local = Local {
            own: &part.own,
            foreign: Vec::new(),
            number_of_foreign: HashMap::new(),
            arcs: Arcs::default(),
            faces: part.own.iter().map(|&f| faces[f as usize]).collect(),
        };
        let places: Vec<Point> = local.faces.iter().map(|face| face.place).collect();
        store.each_beside(&GridBox::of(&places), |arc| {
            let sides = arc.sides.map(|side| root(faces, side));
            if sides
                .iter()
                .any(|side| part.own.binary_search(side).is_ok())
            {
                let sides = sides.map(|side| local.number(side));
                local.arcs.push(arc.points(), sides);
            }
        })?;
        local.know_foreign();
        Ok(local)
    }

    /// Adds the arcs of other parts that may pass through a cell of the zoom's grid that a border
    /// of this part's outer faces passes through.
    fn add_what_is_near(
        &mut self,
        faces: &[Face],
        zoom: u8,
        store: &ArcStore,
    ) -> Result<(), StoreError> {
        let shift = unit_shift(zoom);
        let own = self.own.len() as u32;
        let is_outer = |sides: [u32; 2]| sides.iter().any(|&side| side >= own);
        let outer: Vec<usize> = (0..self.arcs.len())
            .filter(|&arc| is_outer(self.arcs.sides[arc]))
            .collect();
        let vicinity = Vicinity::of(
            outer.iter().map(|&arc| self.arcs.points_of(arc)),
            2 << shift,
        );
        let mut course = Vec::new();
        store.each_near(&vicinity.bbox, |arc| {
            if !vicinity.may_hold(&arc.bbox) {
                return;
            }
            let sides = arc.sides.map(|side| root(faces, side));
            if sides
                .iter()
                .any(|side| self.own.binary_search(side).is_ok())
            {
                return;
            }
            course.clear();
            course.extend(arc.points());
            if vicinity.holds(&course) {
                let sides = sides.map(|side| self.number(side));
                self.arcs.push(course.iter().copied(), sides);
            }
        })?;
        self.know_foreign();
        Ok(())
    }

    /// The number of a face of the layer here; faces of other parts get one.
    fn number(&mut self, face: u32) -> u32 {
        if face == NONE {
            return NONE;
        }
        if let Ok(own) = self.own.binary_search(&face) {
            return own as u32;
        }
        *self.number_of_foreign.entry(face).or_insert_with(|| {
            self.foreign.push(face);
            (self.own.len() + self.foreign.len() - 1) as u32
        })
    }

    fn global(&self, number: u32) -> u32 {
        match (number as usize).checked_sub(self.own.len()) {
            None => self.own[number as usize],
            Some(_) if number == NONE => NONE,
            Some(foreign) => self.foreign[foreign],
        }
    }

    /// Gives faces of other parts an entry that says that they are looked after there.
    fn know_foreign(&mut self) {
        let elsewhere = Face {
            area: 0.0,
            class: NONE,
            count: 0,
            joined: NONE,
            place: Point::new(0, 0),
            runner_up: NONE,
            is_nameless: false,
        };
        // Not twice as much as is needed, as growing would have it.
        self.faces
            .reserve_exact(self.own.len() + self.foreign.len() - self.faces.len());
        self.faces
            .resize(self.own.len() + self.foreign.len(), elsewhere);
    }

    /// The own faces, with what they have joined named as the layer names it.
    fn own_faces(self) -> Vec<Face> {
        let mut faces = self.faces;
        faces.truncate(self.own.len());
        for face in faces.iter_mut().filter(|face| face.joined != NONE) {
            face.joined = self.own[face.joined as usize];
        }
        faces
    }
}

/// The face that a face of the layer is part of now.
pub fn root(faces: &[Face], mut face: u32) -> u32 {
    while face != NONE && faces[face as usize].joined != NONE {
        face = faces[face as usize].joined;
    }
    face
}

/// Where some courses run, and what is not far from them: squares on a raster.
struct Vicinity {
    /// With the margin; nothing beyond is near.
    bbox: GridBox,
    /// A square's side is `2^shift` base units.
    shift: u32,
    columns: i64,
    rows: i64,
    is_near: Vec<bool>,
}

impl Vicinity {
    /// What is within `margin` base units of the courses, and somewhat more.
    fn of<'a>(courses: impl Iterator<Item = &'a [Point]> + Clone, margin: i32) -> Vicinity {
        /// Squares along the longer side.
        const SQUARES: i64 = 1024;
        let empty = GridBox::default();
        let all = courses
            .clone()
            .fold(empty, |all, c| all.union(GridBox::of(c)));
        if all == empty {
            return Vicinity {
                bbox: all,
                shift: 0,
                columns: 0,
                rows: 0,
                is_near: Vec::new(),
            };
        }
        let by = |p: Point, by: i32| Point::new(p.x.saturating_add(by), p.y.saturating_add(by));
        let bbox = GridBox {
            min: by(all.min, -margin),
            max: by(all.max, margin),
        };
        let side = |low: i32, high: i32| i64::from(high) - i64::from(low);
        let (width, height) = (side(bbox.min.x, bbox.max.x), side(bbox.min.y, bbox.max.y));
        let shift = (width.max(height) / SQUARES).max(1).ilog2() + 1;
        let (columns, rows) = ((width >> shift) + 1, (height >> shift) + 1);
        let mut vicinity = Vicinity {
            bbox,
            shift,
            columns,
            rows,
            is_near: vec![false; (columns * rows) as usize],
        };
        for edge in courses.flat_map(|course| course.windows(2)) {
            let mut is_near = std::mem::take(&mut vicinity.is_near);
            vicinity
                .squares(edge, margin)
                .for_each(|row| is_near[row].fill(true));
            vicinity.is_near = is_near;
        }
        vicinity
    }

    /// False when nothing in the box is near. Large boxes are taken to hold something.
    fn may_hold(&self, bbox: &GridBox) -> bool {
        const MOST_SQUARES: i64 = 64;
        if !self.bbox.meets(bbox) {
            return false;
        }
        let [columns, rows] = self.span(
            [bbox.min, bbox.max].map(|p| i64::from(p.x)),
            [bbox.min, bbox.max].map(|p| i64::from(p.y)),
        );
        if (columns[1] - columns[0] + 1) * (rows[1] - rows[0] + 1) > MOST_SQUARES {
            return true;
        }
        (rows[0]..=rows[1]).any(|row| {
            let at = |column: i64| (row * self.columns + column) as usize;
            self.is_near[at(columns[0])..=at(columns[1])].contains(&true)
        })
    }

    fn holds(&self, course: &[Point]) -> bool {
        let rows = course.windows(2).flat_map(|edge| self.squares(edge, 0));
        rows.into_iter()
            .any(|row| self.is_near[row].contains(&true))
    }

    /// Columns and rows of a range, as far as there are squares.
    fn span(&self, x: [i64; 2], y: [i64; 2]) -> [[i64; 2]; 2] {
        let one = |v: [i64; 2], low: i32, count: i64| {
            v.map(|v| ((v - i64::from(low)) >> self.shift).clamp(0, count - 1))
        };
        [
            one(x, self.bbox.min.x, self.columns),
            one(y, self.bbox.min.y, self.rows),
        ]
    }

    /// The squares that cover the edge and `margin` around it, row by row. A square may come
    /// several times.
    fn squares(
        &self,
        edge: &[Point],
        margin: i32,
    ) -> impl Iterator<Item = std::ops::RangeInclusive<usize>> + use<'_> {
        let [x, y] = [[edge[0].x, edge[1].x], [edge[0].y, edge[1].y]].map(|v| v.map(i64::from));
        let (dx, dy) = (x[1] - x[0], y[1] - y[0]);
        // Pieces no longer than a square, so that their boxes hug the edge.
        let pieces = (dx.abs().max(dy.abs()) >> self.shift) + 1;
        let margin = i64::from(margin) + 1;
        (0..pieces).flat_map(move |i| {
            let range = |from: i64, way: i64| {
                let ends = [from + way * i / pieces, from + way * (i + 1) / pieces];
                [ends[0].min(ends[1]) - margin, ends[0].max(ends[1]) + margin]
            };
            let [columns, rows] = self.span(range(x[0], dx), range(y[0], dy));
            (rows[0]..=rows[1]).map(move |row| {
                let at = |column: i64| (row * self.columns + column) as usize;
                at(columns[0])..=at(columns[1])
            })
        })
    }
}
