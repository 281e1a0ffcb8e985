//! What a layer declares about its coordinates.

use serde::{Deserialize, Serialize};

use crate::geom::Bbox;

/// A coordinate reference system, as kept in a manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Crs {
    /// EPSG code, when the system is in the registry.
    pub epsg: Option<u32>,
    pub name: String,
    /// What PROJ is given: `EPSG:4490`, or WKT when there is no code.
    pub definition: String,
    pub geographic: bool,
    /// Metres per unit of a projected system; 1 for geographic ones.
    pub metres_per_unit: f64,
    /// Where the system may be used: west, south, east, north in degrees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area_of_use: Option<[f64; 4]>,
}

/// Why a reference system or a transform is not to be had.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CrsError {
    #[error("{definition:?} is not a coordinate reference system PROJ knows: {reason}")]
    Unknown { definition: String, reason: String },
    #[error("no transform from {from} to {to}: {reason}")]
    NoTransform {
        from: String,
        to: String,
        reason: String,
    },
}

impl Crs {
    /// The frame of Hilbert keys: fixed per kind of system, so that a feature's key does not
    /// depend on the rest of its layer. Zone-prefixed eastings reach 4.6e7.
    pub fn hilbert_frame(&self) -> Bbox {
        if self.geographic {
            Bbox::new(-180.0, -90.0, 180.0, 90.0)
        } else {
            let reach = f64::from(1 << 26) / self.metres_per_unit;
            Bbox::new(-reach, -reach, reach, reach)
        }
    }

    /// `EPSG:n` or the name, for people.
    pub fn label(&self) -> String {
        match self.epsg {
            Some(code) => format!("EPSG:{code}"),
            None => self.name.clone(),
        }
    }
}
