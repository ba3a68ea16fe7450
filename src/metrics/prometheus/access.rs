//! What proves who we are: headers, from files that are read again when they change, from the environment,
//! or from a program that prints a token.
//!
//! Secrets are in types that do not print them, and in no error. One task at a time makes a proof; the
//! others wait for it.

use super::files::{Stamps, aside};
use crate::{
    clock::Clock,
    helper::{self, Helper},
    model::{spec::SecretSource, text::Text},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroizing};
use std::{collections::BTreeMap, ffi::OsString, fmt, sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// How long what a program printed is used before it is run again, unless it is refused before.
const CACHED: Duration = Duration::from_secs(300);
/// A program that ran so lately is not run again because its token was refused, or because it failed.
const YOUNG: Duration = Duration::from_secs(10);

/// Looks a variable of our own environment up.
pub type Lookup = fn(&str) -> Option<SecretString>;

/// How we prove who we are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// A name and a password.
    Basic {
        /// The name.
        user: String,
        /// Where the password is.
        password: SecretSource,
    },
    /// Where a token is.
    Bearer(SecretSource),
    /// A program and its arguments: it prints a token.
    BearerCommand(Vec<String>),
}

/// The value of a header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Header {
    /// As it stands there.
    Plain(String),
    /// A secret.
    Secret(SecretSource),
}

/// What a proof is made of.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Who we are.
    pub auth: Auth,
    /// Headers of every request.
    pub headers: BTreeMap<String, Header>,
    /// Where variables are looked up.
    pub lookup: Lookup,
    /// See [`helper::launcher`].
    pub launcher: Vec<OsString>,
}

/// Headers that prove who we are.
#[derive(Clone)]
pub struct Proof {
    /// Marked as sensitive.
    pub headers: HeaderMap,
    generation: u64,
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proof {}", self.generation)
    }
}

/// Makes proofs, and keeps the newest one.
pub struct Keeper {
    sources: Arc<Sources>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// The last time that a program failed, and why.
    failed: Option<(Duration, String)>,
    generation: u64,
}

struct Held {
    proof: Proof,
    stamps: Stamps,
    /// When it was made ([`Clock::uptime`]).
    made: Duration,
}

impl Keeper {
    /// Nothing is read or run yet.
    pub fn new(sources: Sources, clock: Arc<dyn Clock>) -> Self {
        Self { sources: Arc::new(sources), clock, state: Mutex::default() }
    }

    /// The proof to use now.
    ///
    /// # Errors
    /// Why there is none, in one line.
    pub async fn proof(&self) -> Result<Proof, String> {
        let mut state = self.state.lock().await;
        if let Some(held) = &state.held
            && self.usable(held).await?
        {
            return Ok(held.proof.clone());
        }
        self.make(&mut state).await
    }

    /// After a proof was refused: another one, or `None` when there is no other.
    ///
    /// # Errors
    /// As of [`Keeper::proof`].
    pub async fn renew(&self, refused: &Proof) -> Result<Option<Proof>, String> {
        let mut state = self.state.lock().await;
        match &state.held {
            Some(held) if held.proof.generation != refused.generation => return Ok(Some(held.proof.clone())),
            Some(held) if self.runs_a_program() && self.age(held.made) < YOUNG => return Ok(None),
            _ => {}
        }
        let renewed = self.make(&mut state).await?;
        Ok((renewed.headers != refused.headers).then_some(renewed))
    }

    fn runs_a_program(&self) -> bool {
        matches!(self.sources.auth, Auth::BearerCommand(_))
    }

    fn age(&self, then: Duration) -> Duration {
        self.clock.uptime().saturating_sub(then)
    }

    async fn usable(&self, held: &Held) -> Result<bool, String> {
        if self.runs_a_program() && self.age(held.made) >= CACHED {
            return Ok(false);
        }
        if held.stamps.is_empty() {
            return Ok(true);
        }
        let stamps = held.stamps.again();
        aside(move || stamps.hold()).await
    }

    async fn make(&self, state: &mut State) -> Result<Proof, String> {
        if let Some((at, why)) = state.failed.as_ref().filter(|(at, _)| self.age(*at) < YOUNG) {
            tracing::debug!(age = ?self.age(*at), "the credential program failed a moment ago");
            return Err(why.clone());
        }
        let sources = Arc::clone(&self.sources);
        let (mut headers, stamps) = aside(move || read(&sources)).await??;
        if let Auth::BearerCommand(command) = &self.sources.auth {
            let token = match run(command, &self.sources.launcher).await {
                Ok(token) => token,
                Err(why) => {
                    state.failed = Some((self.clock.uptime(), why.clone()));
                    return Err(why);
                }
            };
            headers.insert(AUTHORIZATION, bearer("its output", &token)?);
        }
        state.failed = None;
        state.generation += 1;
        let proof = Proof { headers, generation: state.generation };
        state.held = Some(Held { proof: proof.clone(), stamps, made: self.clock.uptime() });
        Ok(proof)
    }
}

/// The headers whose values are in the configuration, in files or in the environment. Blocks.
fn read(sources: &Sources) -> Result<(HeaderMap, Stamps), String> {
    let (mut headers, mut stamps) = (HeaderMap::new(), Stamps::default());
    for (name, value) in &sources.headers {
        let what = format!("the header `{}`", Text::clean(name));
        let value = match value {
            Header::Plain(value) => value.clone().into(),
            Header::Secret(source) => secret(&what, source, sources.lookup, &mut stamps)?,
        };
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{what} has a name that no header has"))?;
        headers.insert(name, sensitive(&what, value.expose_secret())?);
    }
    match &sources.auth {
        Auth::None | Auth::BearerCommand(_) => {}
        Auth::Basic { user, password } => {
            let password = secret("the password", password, sources.lookup, &mut stamps)?;
            let both = Zeroizing::new(format!("{user}:{}", password.expose_secret()));
            let encoded = Zeroizing::new(format!("Basic {}", STANDARD.encode(both.as_bytes())));
            headers.insert(AUTHORIZATION, sensitive("the password", &encoded)?);
        }
        Auth::Bearer(source) => {
            let token = secret("the token", source, sources.lookup, &mut stamps)?;
            headers.insert(AUTHORIZATION, bearer("the token", &token)?);
        }
    }
    Ok((headers, stamps))
}

fn secret(what: &str, source: &SecretSource, lookup: Lookup, stamps: &mut Stamps) -> Result<SecretString, String> {
    match source {
        SecretSource::File(path) => {
            let bytes = Zeroizing::new(stamps.read(path).map_err(|e| format!("{what} is in a file that cannot be read: {e}"))?);
            let text = std::str::from_utf8(&bytes).map_err(|_| format!("{what} in {} is no text", path.display()))?;
            Ok(text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line)).into())
        }
        SecretSource::Env(name) => lookup(name).ok_or_else(|| format!("{what}: the variable {name} is not set")),
    }
}

/// What a program prints, on one line.
async fn run(command: &[String], launcher: &[OsString]) -> Result<SecretString, String> {
    let (program, arguments) = command.split_first().ok_or("`bearer_command` is empty")?;
    let name = Text::clean(program);
    let helper = Helper { program: program.clone(), arguments: arguments.to_vec(), environment: Vec::new() };
    let printed = helper::run(&helper, launcher, helper::LIMIT).await.map_err(|failure| format!("`{name}` {failure}"))?;
    let said = || printed.said().map_or_else(String::new, |line| format!(" ({line})"));
    match std::str::from_utf8(&printed.out).map(str::trim) {
        Ok("") => Err(format!("`{name}` printed no token{}", said())),
        Ok(token) if !token.contains(char::is_whitespace) => Ok(token.into()),
        _ => Err(format!("`{name}` printed something else than a token{}", said())),
    }
}

fn bearer(what: &str, token: &SecretString) -> Result<HeaderValue, String> {
    let token = token.expose_secret().trim();
    if token.is_empty() {
        return Err(format!("{what} is empty"));
    }
    sensitive(what, &Zeroizing::new(format!("Bearer {token}")))
}

fn sensitive(what: &str, value: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(value).map_err(|_| format!("{what} has characters that no header has"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;
