//! What is behind an error that libraries have wrapped.

use std::error::Error;

/// The first error of this type in a chain, also inside an I/O error.
#[must_use]
pub fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(e) = next {
        if let Some(found) = e.downcast_ref::<E>() {
            return Some(found);
        }
        let inside = e.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match inside {
            Some(inside) => Some(inside),
            None => e.source(),
        };
    }
    None
}

/// What the system says, without what was wrapped around it.
#[must_use]
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    loop {
        let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        error = match inside.map_or_else(|| error.source(), |inside| Some(inside as &(dyn Error + 'static))) {
            Some(source) => source,
            None => return error.to_string(),
        };
    }
}

/// What the system says, without its number, as a part of a sentence.
#[must_use]
pub fn plain(said: &str) -> String {
    said.split(" (os error").next().unwrap_or_default().to_lowercase()
}
