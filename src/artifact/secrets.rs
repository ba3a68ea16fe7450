//! Secrets that should not be sealed: private keys, environment files, tokens.
//!
//! Only path, line and kind are ever kept or shown, never what was found. Patterns are those of things
//! that look like nothing else, so that a hit is worth stopping for; the absence of hits proves nothing.

use crate::model::text::Text;
use regex::bytes::{Regex, RegexBuilder};
use std::{fmt, sync::LazyLock};

/// Findings that are kept of one directory.
pub(super) const MAX_FINDINGS: usize = 100;

/// Something that looks like a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFinding {
    /// The file, from the root of the content.
    pub path: Text,
    /// The line, from 1; absent when the file's name says it.
    pub line: Option<u64>,
    /// What it looks like.
    pub kind: SecretKind,
}

/// What a secret looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// `.env` and its variants.
    EnvFile,
    /// A file called like an SSH key.
    SshKeyFile,
    /// `-----BEGIN … PRIVATE KEY-----` and what follows.
    PrivateKey,
    /// `AKIA…`.
    AwsAccessKey,
    /// `ghp_…`, `github_pat_…` and the like.
    GitHubToken,
    /// `xoxb-…` and the like.
    SlackToken,
    /// A token or password in `.npmrc`, `.pypirc`, `.netrc` or `.git-credentials`.
    Login,
}

impl SecretKind {
    /// In words.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::EnvFile => "environment file",
            Self::SshKeyFile => "SSH key file",
            Self::PrivateKey => "private key",
            Self::AwsAccessKey => "AWS access key",
            Self::GitHubToken => "GitHub token",
            Self::SlackToken => "Slack token",
            Self::Login => "token or password",
        }
    }
}

impl fmt::Display for SecretFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.kind.word())
    }
}

/// Longer than anything a pattern matches, so that nothing is missed between two chunks.
const OVERLAP: usize = 512;

struct Pattern {
    kind: SecretKind,
    regex: Regex,
}

/// In every file. A private key needs something after its first line: programs that read keys contain that line alone.
static ANYWHERE: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    compile(&[
        (SecretKind::PrivateKey, r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[\r\n\t ]|\\[rn]){1,16}[A-Za-z0-9+/=]"),
        (SecretKind::AwsAccessKey, r"\bAKIA[0-9A-Z]{16}\b"),
        (SecretKind::GitHubToken, r"\bgh[opusr]_[A-Za-z0-9]{36}|\bgithub_pat_[A-Za-z0-9_]{22}"),
        (SecretKind::SlackToken, r"\bxox[abeoprs]-[A-Za-z0-9-]{10}"),
    ])
});

/// In files that hold logins. A value taken from the environment is no secret.
static LOGINS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    compile(&[
        (SecretKind::Login, r"(?i)_(?:authToken|auth|password)[ \t]{0,8}=[ \t]{0,8}[^\s$]"),
        (SecretKind::Login, r"(?i)\bpassword(?:[ \t]{0,8}[=:][ \t]{0,8}|[ \t]{1,8})[^\s$=:]"),
        (SecretKind::Login, r"://[^\s/@:]{1,128}:[^\s/@]{1,256}@"),
    ])
});

fn compile(patterns: &[(SecretKind, &str)]) -> Vec<Pattern> {
    let compiled = patterns.iter().filter_map(|(kind, pattern)| {
        // Bytes, not characters: what is sealed need not be text. That all of them compile is tested.
        RegexBuilder::new(pattern).unicode(false).build().ok().map(|regex| Pattern { kind: *kind, regex })
    });
    compiled.collect()
}

/// Looks at one file while it streams by.
pub(super) struct Scanner {
    path: String,
    login: bool,
    /// What was not fully looked at; its first byte, unless the file begins there, is only context.
    window: Vec<u8>,
    begun: bool,
    /// Line of the window's first byte, from 1.
    line: u64,
    findings: Vec<SecretFinding>,
}

impl Scanner {
    /// For the file of this path.
    pub(super) fn new(path: &str) -> Self {
        let mut scanner = Self {
            path: path.to_owned(),
            login: matches!(name(path), ".npmrc" | ".pypirc" | ".netrc" | "_netrc" | ".git-credentials"),
            window: Vec::new(),
            begun: false,
            line: 1,
            findings: Vec::new(),
        };
        if let Some(kind) = by_name(path) {
            scanner.findings.push(SecretFinding { path: Text::clean(path), line: None, kind });
        }
        scanner
    }

    /// The file this is for.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The next bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.window.extend_from_slice(bytes);
        if self.window.len() > 2 * OVERLAP {
            self.look(self.window.len() - OVERLAP);
        }
    }

    /// What was found, in the order of lines.
    pub(super) fn finish(mut self) -> Vec<SecretFinding> {
        self.look(self.window.len());
        self.findings
    }

    /// Looks for what begins before `end`, then forgets all before it but one byte of context.
    fn look(&mut self, end: usize) {
        let first = usize::from(self.begun);
        let mut hits = Vec::new();
        for pattern in ANYWHERE.iter().chain(LOGINS.iter().filter(|_| self.login)) {
            hits.extend(
                pattern.regex.find_iter(&self.window).map(|m| m.start()).filter(|&at| at >= first && at < end).map(|at| (at, pattern.kind)),
            );
        }
        hits.sort_unstable_by_key(|&(at, _)| at);
        for (at, kind) in hits {
            let line = Some(self.line + lines(&self.window, at));
            let finding = SecretFinding { path: Text::clean(&self.path), line, kind };
            if self.findings.len() < MAX_FINDINGS && !self.findings.contains(&finding) {
                self.findings.push(finding);
            }
        }
        let keep = end.saturating_sub(1);
        self.line += lines(&self.window, keep);
        self.window.drain(..keep);
        self.begun = true;
    }
}

fn lines(bytes: &[u8], upto: usize) -> u64 {
    bytes.iter().take(upto).filter(|&&b| b == b'\n').count() as u64
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What the name alone says.
fn by_name(path: &str) -> Option<SecretKind> {
    match name(path) {
        "id_rsa" | "id_dsa" | "id_ecdsa" | "id_ed25519" => Some(SecretKind::SshKeyFile),
        ".env" => Some(SecretKind::EnvFile),
        name => {
            let variant = name.strip_prefix(".env.")?;
            let shows_names_only = ["example", "sample", "template", "dist"].iter().any(|word| variant.contains(word));
            (!shows_names_only).then_some(SecretKind::EnvFile)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ANYWHERE, LOGINS, OVERLAP, Scanner, SecretKind};

    fn scan(path: &str, bytes: &[u8], chunk: usize) -> Vec<(Option<u64>, SecretKind)> {
        let mut scanner = Scanner::new(path);
        bytes.chunks(chunk).for_each(|part| scanner.feed(part));
        scanner.finish().iter().map(|f| (f.line, f.kind)).collect()
    }

    fn kinds(path: &str, content: &str) -> Vec<SecretKind> {
        scan(path, content.as_bytes(), 4096).iter().map(|&(_, kind)| kind).collect()
    }

    /// Written in two parts so that this file itself holds none.
    fn token(head: &str, tail: char, n: usize) -> String {
        format!("{head}{}", tail.to_string().repeat(n))
    }

    #[test]
    fn every_pattern_compiles() {
        assert_eq!((ANYWHERE.len(), LOGINS.len()), (4, 3));
    }

    #[test]
    fn kinds_are_told_apart() {
        let pem = |what: &str| format!("-----BEGIN {what}PRIVATE KEY-----\nMIIEvQ\n");
        for what in ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "] {
            assert_eq!(kinds("x", &pem(what)), [SecretKind::PrivateKey], "{what}");
        }
        assert_eq!(kinds("a.json", &pem("").replace('\n', "\\n")), [SecretKind::PrivateKey]);
        assert_eq!(kinds("x", &token("AKIA", 'Q', 16)), [SecretKind::AwsAccessKey]);
        assert_eq!(kinds("x", &token("ghp_", 'a', 36)), [SecretKind::GitHubToken]);
        assert_eq!(kinds("x", &token("github_pat_", 'a', 60)), [SecretKind::GitHubToken]);
        assert_eq!(kinds("x", &token("xoxb-", '1', 12)), [SecretKind::SlackToken]);
        assert_eq!(kinds("a/.env", ""), [SecretKind::EnvFile]);
        assert_eq!(kinds(".env.production", ""), [SecretKind::EnvFile]);
        assert_eq!(kinds("home/id_ed25519", ""), [SecretKind::SshKeyFile]);
        assert_eq!(kinds(".npmrc", "//registry.npmjs.org/:_authToken=npm_abc"), [SecretKind::Login]);
        assert_eq!(kinds(".pypirc", "[pypi]\nusername = u\npassword = hunter2"), [SecretKind::Login]);
        assert_eq!(kinds(".netrc", "machine example.org login u password hunter2"), [SecretKind::Login]);
        assert_eq!(kinds(".git-credentials", "https://u:hunter2@example.org"), [SecretKind::Login]);
    }

    #[test]
    fn what_only_resembles_a_secret_is_left_alone() {
        for (path, content) in [
            ("server.crt", "-----BEGIN CERTIFICATE-----\nMIIEvQ\n"),
            ("id_rsa.pub", "ssh-rsa AAAA"),
            (".env.example", "TOKEN="),
            ("environment", ""),
            ("lib.so", "-----BEGIN PRIVATE KEY-----\0-----END PRIVATE KEY-----"),
            ("pem.py", "BEGIN = b\"-----BEGIN PRIVATE KEY-----\\n\" + x"),
            ("x", "XAKIAQQQQQQQQQQQQQQQQ AKIAQQQ akiaqqqqqqqqqqqqqqqq"),
            (".npmrc", "registry=https://registry.npmjs.org/\n//r/:_authToken=${NPM_TOKEN}"),
            (".git-credentials", "https://example.org/a:b"),
            ("app.cfg", "password = hunter2"),
        ] {
            assert_eq!(kinds(path, content), [], "{path}");
        }
    }

    #[test]
    fn found_once_wherever_chunks_end() {
        let secret = token("AKIA", 'Q', 16);
        for before in [0, 1, OVERLAP - 10, OVERLAP, 2 * OVERLAP - 3, 5000] {
            let mut text = "x\n".repeat(before);
            text.push_str(&secret);
            text.push_str(&"\ny".repeat(2000));
            for chunk in [1, 7, OVERLAP, 4096, 1 << 20] {
                assert_eq!(scan("x", text.as_bytes(), chunk), [(Some(before as u64 + 1), SecretKind::AwsAccessKey)], "{before} {chunk}");
            }
        }
        // A longer word that only begins like one is none, wherever it is cut.
        let longer = format!("{}Q{}", secret, " ".repeat(3000));
        for chunk in [1, 20, 21, 600] {
            assert_eq!(scan("x", longer.as_bytes(), chunk), []);
        }
    }
}
