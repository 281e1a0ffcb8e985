//! KML files that the KML library cannot be trusted with.
//!
//! The driver of GDAL up to 3.6 reads past the end of a track whose times are missing. Tracks of
//! GPS receivers are no map layers, so a file with one is refused before the driver sees it.

use std::ffi::CStr;

use super::SourceError;
use super::locate::{read_head, scan};

const HEAD_BYTES: usize = 64 << 10;
const MARK: &[u8] = b":Track";

/// Refuses a KML file with tracks.
pub(super) fn check(gdal_name: &CStr, display: &str) -> Result<(), SourceError> {
    let head = read_head(gdal_name, HEAD_BYTES);
    let is_kml = head
        .windows(4)
        .any(|window| window == b"<kml" || window == b":kml");
    if is_kml && scan(gdal_name, MARK) {
        return Err(SourceError::Unreadable {
            name: display.to_string(),
            reason: "it contains GPS tracks (gx:Track); convert them to lines first".to_string(),
        });
    }
    Ok(())
}
