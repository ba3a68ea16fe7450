//! Secrets of a service: read when an instance starts, handed to it, kept nowhere. What stays is a
//! keyed hash that says whether they changed.
//!
//! They travel through a pipe to the supervisor and reach the service by its environment only,
//! never by an argument. Like every environment, the service's own is readable by its user (and
//! root) in `/proc/<pid>/environ`; the supervisor's environment is empty.

use crate::model::{
    digest::Digest,
    spec::{RuntimeSpec, SecretSource},
    text::Text,
};
use rustix::fs::OFlags;
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
};

/// The longest value: more does not fit into an environment variable.
const LONGEST: u64 = 64 * 1024;

/// Looks a variable of the host's own environment up.
pub type Lookup = Arc<dyn Fn(&str) -> Option<SecretString> + Send + Sync>;

/// The secrets of one start.
#[derive(Default)]
pub struct Secrets {
    /// Variables and their values, in the order of their names.
    pub values: Vec<(String, SecretString)>,
    /// Of names and values, keyed; `None` without secrets.
    pub hash: Option<Digest>,
}

/// Reads every secret of a service. Blocks.
///
/// # Errors
/// The first that is missing or unusable, by name and place, never by value.
pub fn read(runtime: &RuntimeSpec, lookup: &Lookup, key: &[u8; 32]) -> Result<Secrets, Text> {
    let mut secrets = Secrets::default();
    for (name, source) in &runtime.secrets {
        let value = one(name, source, lookup)?;
        secrets.values.push((name.clone(), value));
    }
    secrets.hash = hash(&secrets.values, key);
    Ok(secrets)
}

/// Reads one value. Blocks.
///
/// # Errors
/// Why it cannot be had, by name and place.
pub fn one(name: &str, source: &SecretSource, lookup: &Lookup) -> Result<SecretString, Text> {
    let value = match source {
        SecretSource::File(path) => {
            from_file(path).map_err(|e| Text::from(format!("secret {name}: file {}: {}", path.display(), describe(&e))))?
        }
        SecretSource::Env(variable) => {
            lookup(variable).ok_or_else(|| Text::from(format!("secret {name}: variable {variable} is not in the host's environment")))?
        }
    };
    if value.expose_secret().contains('\0') {
        return Err(format!("secret {name}: holds a zero byte, which no environment variable can").into());
    }
    Ok(value)
}

fn from_file(path: &Path) -> io::Result<SecretString> {
    // Not blocking: a pipe in place of a file must not hold the start up.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("is not a file"));
    }
    let mut text = String::new();
    file.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::other("is longer than 64 KiB"));
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text.into())
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "not found".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read".to_owned(),
        io::ErrorKind::InvalidData => "is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    }
}

/// Lengths keep names and values apart; the key keeps guessed values from being tried out.
fn hash(values: &[(String, SecretString)], key: &[u8; 32]) -> Option<Digest> {
    let inner = values.iter().fold(key.to_vec(), |mut all, (name, value)| {
        for part in [name.as_str(), value.expose_secret()] {
            all.extend(Digest::of(part.as_bytes()).as_array());
        }
        all
    });
    let outer = [key.as_slice(), Digest::of(&inner).as_array().as_slice()].concat();
    (!values.is_empty()).then(|| Digest::of(&outer))
}

/// The key of this host, made once: without it, hashes of different starts could not be compared.
///
/// # Errors
/// When the file can neither be read nor made.
pub fn key(file: &Path) -> io::Result<[u8; 32]> {
    if let Ok(bytes) = fs::read(file)
        && let Ok(key) = bytes.try_into()
    {
        return Ok(key);
    }
    let key: [u8; 32] = rand::random();
    let mut fresh = tempfile::NamedTempFile::new_in(file.parent().unwrap_or(Path::new(".")))?;
    fresh.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
    fresh.write_all(&key)?;
    fresh.persist(file)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::{Lookup, key, read};
    use crate::model::spec::{RuntimeSpec, SecretSource};
    use secrecy::ExposeSecret as _;
    use std::{fs, path::PathBuf, sync::Arc};

    fn runtime(source: SecretSource) -> RuntimeSpec {
        let spec = serde_json::json!({
            "name": "a", "listen": "127.0.0.1:0", "command": ["true"], "readiness": { "path": "/" }, "steps": []
        });
        let spec: crate::model::spec::ServiceSpec = serde_json::from_value(spec).unwrap();
        RuntimeSpec { secrets: [("TOKEN".to_owned(), source)].into(), ..spec.runtime() }
    }

    #[test]
    fn a_value_changes_the_hash_and_appears_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        let nothing: Lookup = Arc::new(|_| None);
        let spec = runtime(SecretSource::File(file.clone()));
        let one = key(&dir.path().join("key")).unwrap();
        assert_eq!(key(&dir.path().join("key")).unwrap(), one, "the key stays");

        let missing = read(&spec, &nothing, &one).err().unwrap();
        assert!(missing.as_str().starts_with("secret TOKEN: file /") && missing.as_str().ends_with("not found"), "{missing}");

        fs::write(&file, "hunter2\r\n").unwrap();
        let first = read(&spec, &nothing, &one).unwrap();
        assert_eq!(first.values[0].1.expose_secret(), "hunter2");
        assert_eq!(read(&spec, &nothing, &one).unwrap().hash, first.hash);
        assert_ne!(read(&spec, &nothing, &[7; 32]).unwrap().hash, first.hash);
        assert!(!format!("{:?} {:?}", first.values, first.hash).contains("hunter2"));
        fs::write(&file, "hunter3\n").unwrap();
        assert_ne!(read(&spec, &nothing, &one).unwrap().hash, first.hash);

        for (bytes, why) in [(&b"\xff"[..], "UTF-8"), (b"a\0b", "zero byte"), (&[b'x'; 70_000], "longer")] {
            fs::write(&file, bytes).unwrap();
            let said = read(&spec, &nothing, &one).err().unwrap();
            assert!(said.as_str().contains(why), "{said}");
        }
        let said = read(&runtime(SecretSource::File(PathBuf::from("/dev/null"))), &nothing, &one).err().unwrap();
        assert!(said.as_str().contains("is not a file"), "{said}");
    }

    #[test]
    fn a_variable_comes_from_the_host() {
        let lookup: Lookup = Arc::new(|name| (name == "DB").then(|| "hunter2".into()));
        let found = read(&runtime(SecretSource::Env("DB".into())), &lookup, &[0; 32]).unwrap();
        assert_eq!(found.values[0].1.expose_secret(), "hunter2");
        let said = read(&runtime(SecretSource::Env("NO".into())), &lookup, &[0; 32]).err().unwrap();
        assert_eq!(said.as_str(), "secret TOKEN: variable NO is not in the host's environment");
    }
}
