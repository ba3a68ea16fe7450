//! Documents that are derived from the code say what the code says.
//! `CUTOVER_WRITE_DOCS=1 cargo test docs` writes them anew.

use cutover::{app::docs, panel};
use std::{fs, path::Path};

/// What stands between `begin` and `end` in a file is `text`.
fn holds(file: &str, begin: &str, end: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let whole = fs::read_to_string(&path).unwrap();
    let (before, rest) = whole.split_once(begin).unwrap_or_else(|| panic!("{file} has no {begin}"));
    let (found, after) = rest.split_once(end).unwrap_or_else(|| panic!("{file} has no {end}"));
    if std::env::var_os("CUTOVER_WRITE_DOCS").is_some() {
        fs::write(&path, format!("{before}{begin}{text}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(found, text, "{file} is not what the code says; CUTOVER_WRITE_DOCS=1 cargo test docs");
}

#[test]
fn the_key_table_of_the_readme() {
    let tables = panel::tables(&panel::all());
    holds("README.md", "<!-- keys -->\n", "<!-- /keys -->", &docs::readme_table(&tables));
}

#[test]
fn the_keys_of_the_example_configuration() {
    let tables = panel::tables(&panel::all());
    holds("config.example.toml", "# --- keys: derived from the commands\n", "# --- end of keys\n", &docs::example(&tables));
}
