//! TLS for every HTTP client of the process: one provider, so that no second one is linked.

/// Must have been called before the first HTTP client is made; again does nothing.
pub fn ready() {
    // An error says that it was installed before.
    drop(rustls::crypto::ring::default_provider().install_default());
}
