//! Exact transforms between two layers' systems, for one thread.

use proj::Proj;

use super::{Crs, CrsError};

/// PROJ's transform from one system to another, x east and y north on both sides.
pub struct Transform {
    proj: Proj,
    from: String,
    to: String,
}

impl Transform {
    /// # Errors
    /// When PROJ has no transform.
    pub fn new(from: &Crs, to: &Crs) -> Result<Transform, CrsError> {
        let proj = Proj::new_known_crs(&from.definition, &to.definition, None).map_err(|e| {
            CrsError::NoTransform {
                from: from.label(),
                to: to.label(),
                reason: e.to_string(),
            }
        })?;
        Ok(Transform {
            proj,
            from: from.label(),
            to: to.label(),
        })
    }

    /// Transforms positions in place.
    ///
    /// # Errors
    /// When a position has no image.
    pub fn transform(&self, points: &mut [(f64, f64)]) -> Result<(), CrsError> {
        self.proj
            .convert_array(points)
            .map(|_| ())
            .map_err(|e| CrsError::NoTransform {
                from: self.from.clone(),
                to: self.to.clone(),
                reason: e.to_string(),
            })
    }
}
