//! `cutover seal`: a directory becomes an artifact, and its digest is all that is printed.

use crate::{
    artifact::{Layout, LayoutError, SealError, SealOptions, Sealed, SecretFinding, Store, prepare},
    model::{text::Text, time::Time},
};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

/// What to seal, and what to say about it.
#[derive(clap::Args, Clone, Debug)]
pub struct SealArgs {
    /// The directory to seal.
    #[arg(value_name = "DIR", required_unless_present = "list")]
    pub dir: Option<PathBuf>,
    /// List what is sealed already, oldest first, instead of sealing.
    #[arg(long, conflicts_with_all = ["dir", "label", "revision", "created", "source", "allow_secrets"])]
    pub list: bool,
    /// An OCI image layout to seal into, made if it is not there [default: the host's store].
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// What people call this version, such as v42.
    #[arg(short, long, value_name = "VERSION")]
    pub label: Option<String>,
    /// The source revision it was built from.
    #[arg(long, value_name = "REVISION")]
    pub revision: Option<String>,
    /// When it was built, such as 2026-08-14T03:12:09Z.
    #[arg(long, value_name = "TIME", value_parser = rfc3339)]
    pub created: Option<Time>,
    /// Where its source is.
    #[arg(long, value_name = "URL")]
    pub source: Option<String>,
    /// Why going back from it is not safe, such as "migration 0042": shown, never blocking.
    #[arg(long, value_name = "WHY")]
    pub revert_unsafe: Option<String>,
    /// Seal although files look like secrets; whoever can read the artifact can read them.
    #[arg(long)]
    pub allow_secrets: bool,
}

/// Why nothing was printed on standard output.
#[derive(Debug, thiserror::Error)]
pub enum SealVerbError {
    /// It was not sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// It was sealed, but what to print could not be written.
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

impl From<LayoutError> for SealVerbError {
    fn from(error: LayoutError) -> Self {
        Self::Seal(error.into())
    }
}

/// Seals into the layout that was named, else into the store of this directory. The digest goes to
/// `out` as the only line; what looks like secrets to `err`, one line each.
///
/// # Errors
/// One line: nothing was sealed, or it could not be printed.
pub fn run(args: &SealArgs, default_store: &Path, out: &mut impl Write, err: &mut impl Write) -> Result<Option<Sealed>, SealVerbError> {
    let Some(dir) = args.dir.as_deref() else {
        return list(args, default_store, out).map(|()| None);
    };
    let options = SealOptions {
        version: args.label.clone(),
        revision: args.revision.clone(),
        created: args.created,
        source: args.source.clone(),
        revert_unsafe: args.revert_unsafe.clone(),
        allow_secrets: args.allow_secrets,
    };
    // The directory first: if it cannot be sealed, no layout is made for it.
    let prepared = match prepare(dir, &options) {
        Err(SealError::Secrets { dir, findings }) => {
            warn(&findings, err)?;
            return Err(SealError::Secrets { dir, findings }.into());
        }
        prepared => prepared?,
    };
    prepared.ensure_outside(args.to.as_deref().unwrap_or(default_store))?;
    let layout = match &args.to {
        Some(dir) => Layout::create(dir)?,
        None => Store::open(default_store)?.layout().clone(),
    };
    let sealed = prepared.write(&layout)?;
    warn(&sealed.warnings, err)?;
    warn_of_history(dir, err)?;
    writeln!(out, "{}", sealed.digest)?;
    out.flush()?;
    Ok(Some(sealed))
}

/// What people rarely mean to ship, and what makes each build another artifact.
fn warn_of_history(dir: &Path, err: &mut impl Write) -> io::Result<()> {
    for name in [".git", ".hg", ".svn"] {
        if dir.join(name).is_dir() {
            writeln!(err, "warning: {name}/ was sealed with it: its whole history is in the artifact; seal a directory without it")?;
        }
    }
    Ok(())
}

/// One line for each artifact: digest, label, revision, when it was built, size of its layer.
fn list(args: &SealArgs, default_store: &Path, out: &mut impl Write) -> Result<(), SealVerbError> {
    let layout = match &args.to {
        Some(dir) => Layout::open(dir)?,
        None => stored(default_store)?,
    };
    let text = |t: Option<&Text>| t.map_or_else(|| "-".to_owned(), ToString::to_string);
    for a in layout.list()? {
        let created = text(a.created.as_ref());
        writeln!(
            out,
            "{}  {}  {}  {created}  {} KiB",
            a.digest,
            text(a.version.as_ref()),
            text(a.revision.as_ref()),
            a.bytes.div_ceil(1024)
        )?;
    }
    Ok(out.flush()?)
}

/// The artifacts of a store, which is not made by looking.
///
/// # Errors
/// When there is none.
pub fn stored(store: &Path) -> Result<Layout, LayoutError> {
    Layout::open(&store.join("oci"))
}

/// As many as fit a small screen.
const SHOWN: usize = 20;

fn warn(findings: &[SecretFinding], err: &mut impl Write) -> io::Result<()> {
    for finding in findings.iter().take(SHOWN) {
        writeln!(err, "warning: possible secret: {finding}")?;
    }
    match findings.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => writeln!(err, "warning: {more} more possible secrets"),
    }
}

fn rfc3339(text: &str) -> Result<Time, String> {
    chrono::DateTime::parse_from_rfc3339(text).map(Into::into).map_err(|e| format!("not RFC 3339, such as 2026-08-14T03:12:09Z: {e}"))
}

#[cfg(test)]
mod tests {
    use super::{SealArgs, SealVerbError, run};
    use crate::artifact::{Layout, Store};
    use clap::Parser;
    use std::{fs, path::Path};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SealArgs,
    }

    struct Ran {
        result: Result<crate::artifact::Sealed, SealVerbError>,
        out: String,
        err: String,
    }

    fn cutover_seal(store: &Path, args: &[&str]) -> Ran {
        let line = Line::try_parse_from([&["seal"], args].concat()).expect("valid arguments");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let result = run(&line.args, store, &mut out, &mut err);
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let result = result.map(|sealed| sealed.expect("sealed, not listed"));
        Ran { result, out: text(out), err: text(err) }
    }

    #[test]
    fn prints_the_digest_alone_and_seals_where_it_was_told() {
        let dir = tempfile::tempdir().expect("directory");
        let at = |name: &str| dir.path().join(name).to_str().expect("text").to_owned();
        fs::create_dir(at("app")).expect("made");
        fs::write(at("app/server"), "x").expect("written");
        let store = dir.path().join("store");

        let ran = cutover_seal(&store, &[&at("app"), "-l", "v42", "--created", "2026-08-14T05:12:09+02:00"]);
        let sealed = ran.result.expect("sealed");
        assert_eq!((ran.out, ran.err), (format!("{}\n", sealed.digest), String::new()));
        let described = Store::open(&store).expect("store").layout().describe(&sealed.digest).expect("there");
        assert_eq!(described.version.expect("version").as_str(), "v42");
        assert_eq!(described.created.expect("created").as_str(), "2026-08-14T03:12:09Z");

        let ran = cutover_seal(&store, &[&at("app"), "--to", &at("layout")]);
        assert_eq!(ran.out, format!("{}\n", sealed.digest));
        assert!(Layout::open(Path::new(&at("layout"))).expect("layout").contains(&sealed.digest));
        assert!(Line::try_parse_from(["seal", "x", "--created", "yesterday"]).is_err());
    }

    #[test]
    fn what_is_sealed_is_listed_and_history_is_named() {
        let dir = tempfile::tempdir().expect("directory");
        let app = dir.path().join("app");
        let at = app.to_str().expect("text");
        fs::create_dir_all(app.join(".git")).expect("made");
        fs::write(app.join("server"), "x").expect("written");
        fs::write(app.join(".git/HEAD"), "ref: refs/heads/main").expect("written");
        let store = dir.path().join("store");
        let list = || {
            let line = Line::try_parse_from(["seal", "--list"]).expect("valid arguments");
            let (mut out, mut err) = (Vec::new(), Vec::new());
            run(&line.args, &store, &mut out, &mut err).map(|sealed| {
                assert!(sealed.is_none());
                String::from_utf8(out).expect("text")
            })
        };
        assert!(list().is_err() && !store.exists(), "looking makes no store");
        let ran = cutover_seal(&store, &[at, "--label", "v42"]);
        let first = ran.result.expect("sealed").digest;
        assert_eq!(ran.err, "warning: .git/ was sealed with it: its whole history is in the artifact; seal a directory without it\n");
        fs::remove_dir_all(app.join(".git")).expect("removed");
        let ran = cutover_seal(&store, &[at]);
        let second = ran.result.expect("sealed").digest;
        assert_eq!(ran.err, "");
        let listed = list().expect("listed");
        let lines: Vec<&str> = listed.lines().collect();
        assert_eq!(lines.len(), 2, "{listed}");
        assert!(lines[0].starts_with(&format!("{first}  v42  -  -  ")) && lines[1].starts_with(&format!("{second}  -  ")), "{listed}");
        assert!(Line::try_parse_from(["seal"]).is_err() && Line::try_parse_from(["seal", "x", "--list"]).is_err());
    }

    #[test]
    fn nothing_is_made_for_what_cannot_be_sealed() {
        let dir = tempfile::tempdir().expect("directory");
        let at = |name: &str| dir.path().join(name).to_str().expect("text").to_owned();
        fs::create_dir(at("app")).expect("made");
        let store = dir.path().join("store");
        let refused = |args: &[&str]| {
            let ran = cutover_seal(&store, args);
            assert_eq!(ran.out, "");
            let line = ran.result.expect_err("refused").to_string();
            assert!(!line.contains('\n'));
            (line, ran.err)
        };
        assert!(refused(&[&at("app")]).0.contains("is empty"));
        assert!(refused(&[&at("nowhere"), "--to", &at("layout")]).0.contains("no such directory"));
        fs::write(at("app/.env"), "TOKEN=x").expect("written");
        assert!(refused(&[&at("app"), "--allow-secrets", "--to", &at("app/layout")]).0.contains("inside the directory"));
        let (line, err) = refused(&[&at("app"), "--to", &at("layout")]);
        assert!(line.contains("a possible secret") && line.ends_with("--allow-secrets"), "{line}");
        assert_eq!(err, "warning: possible secret: .env: environment file\n");
        assert!(!store.exists() && !Path::new(&at("layout")).exists() && !Path::new(&at("app/layout")).exists());

        let ran = cutover_seal(&store, &[&at("app"), "--allow-secrets"]);
        assert_eq!(ran.result.expect("sealed").warnings.len(), 1);
        assert_eq!(ran.err, "warning: possible secret: .env: environment file\n");
    }
}
