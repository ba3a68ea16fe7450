//! A real TLS server that wants a certificate, in front of another one.

use super::need;
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Certificates, and nginx that wants one from us.
pub struct Tls {
    dir: TempDir,
    port: u16,
    nginx: Child,
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.nginx.kill();
        let _ = self.nginx.wait();
    }
}

fn openssl(dir: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split_whitespace()).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{arguments}: {output:?}");
}

impl Tls {
    /// In front of this address. `None` where a program is missing.
    pub fn before(upstream: &str) -> Option<Self> {
        Self::start(upstream, "on")
    }

    /// The same, and wants no certificate of ours.
    pub fn open(upstream: &str) -> Option<Self> {
        Self::start(upstream, "off")
    }

    fn start(upstream: &str, verify: &str) -> Option<Self> {
        if !(need("openssl") && need("nginx")) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        for ca in ["ca", "other"] {
            openssl(dir.path(), &format!("req -x509 {key} -keyout {ca}.key -out {ca}.pem -days 2 -subj /CN={ca}"));
        }
        for (name, extension, days) in
            [("server", "subjectAltName=IP:127.0.0.1,DNS:api.internal", 2), ("client", "extendedKeyUsage=clientAuth", 2)]
        {
            fs::write(dir.path().join(format!("{name}.ext")), extension).unwrap();
            openssl(dir.path(), &format!("req -new {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
            openssl(
                dir.path(),
                &format!(
                    "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days {days} -extfile {name}.ext"
                ),
            );
        }
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let root = dir.path().display();
        let config = format!(
            "daemon off; master_process off; pid {root}/nginx.pid; error_log {root}/error.log;\nevents {{}}\nhttp {{\naccess_log off;\n\
             client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n\
             server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {root}/server.pem; ssl_certificate_key {root}/server.key;\n\
             ssl_client_certificate {root}/ca.pem; ssl_verify_client {verify};\n\
             location / {{ proxy_pass {upstream}; proxy_buffering off; proxy_http_version 1.1; }} }} }}\n"
        );
        fs::write(dir.path().join("nginx.conf"), config).unwrap();
        let nginx = Command::new("nginx")
            .args(["-c", &format!("{root}/nginx.conf"), "-p", &root.to_string(), "-e", &format!("{root}/error.log")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let tls = Self { dir, port, nginx };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = fs::read_to_string(tls.path("error.log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(10), "nginx never listened: {log}");
            thread::sleep(Duration::from_millis(10));
        }
        Some(tls)
    }

    /// One of `ca`, `other` (another authority), `server`, `client`, each `.pem` and `.key`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The same as a kubeconfig holds it.
    pub fn data(&self, name: &str) -> String {
        STANDARD.encode(fs::read(self.path(name)).unwrap())
    }

    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    pub const fn port(&self) -> u16 {
        self.port
    }
}
