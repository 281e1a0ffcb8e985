//! Style templates and sprites: from the workspace's folder `styles/` when it has them, else the
//! ones in the binary.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::protocol::Problem;
use crate::store::StoreError;

/// Path below `styles/`, bytes.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/styles.rs"));

/// A style or a sprite is smaller than this.
const MAX_BYTES: u64 = 16 << 20;

/// True for a name that is no path and hides nothing.
pub fn is_plain_name(file: &str) -> bool {
    !file.starts_with('.')
        && !file.is_empty()
        && file
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@'))
}

/// The bytes of a file of the styles, `None` when neither place has it.
pub fn file(workspace: &Path, name: &str) -> Result<Option<Cow<'static, [u8]>>, Problem> {
    let path = workspace.join("styles").join(name);
    match File::open(&path) {
        Ok(file) => {
            let mut bytes = Vec::new();
            file.take(MAX_BYTES + 1)
                .read_to_end(&mut bytes)
                .map_err(|e| StoreError::io(&path, e))?;
            if bytes.len() as u64 > MAX_BYTES {
                let problem = format!("{} is larger than {MAX_BYTES} bytes", path.display());
                return Err(Problem::internal(problem));
            }
            Ok(Some(Cow::Owned(bytes)))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(FILES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|&(_, bytes)| Cow::Borrowed(bytes))),
        Err(e) => Err(StoreError::io(&path, e).into()),
    }
}
