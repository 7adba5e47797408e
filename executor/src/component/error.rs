use super::Digest;

/// Why a component cannot be loaded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// More bytes than allowed.
    #[error("the component has {size} bytes; the limit is {size_max}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The configured limit.
        size_max: usize,
    },
    /// The bytes are something else.
    #[error("not a WebAssembly component: {what}")]
    NotAComponent {
        /// What they are instead, as far as can be said.
        what: String,
    },
    /// A component, but one that cannot be compiled.
    #[error("the component is invalid: {message}")]
    Invalid {
        /// What the compiler said.
        message: String,
    },
    /// It needs what the host does not offer.
    #[error("the component imports what this host does not offer: {}", missing.join(", "))]
    MissingImports {
        /// Each missing interface or function.
        missing: Vec<String>,
    },
    /// The bytes that were fetched are not the ones that were asked for.
    #[error("the bytes of component {expected} have digest {actual}")]
    WrongDigest {
        /// What was asked for.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// The bytes could not be fetched.
    #[error("cannot fetch component {digest}")]
    Fetch {
        /// What was asked for.
        digest: Digest,
        /// Why not.
        #[source]
        source: Box<kiln_proto::Error>,
    },
    /// The compiled code could not be kept.
    #[error("cannot keep compiled code in {}: {what}", path.display())]
    Disk {
        /// Which file.
        path: std::path::PathBuf,
        /// Why not.
        what: String,
    },
    /// Compiling it took too long. It is refused, so that it does not keep others waiting.
    #[error("compiling the component took longer than {} s", max.as_secs_f64())]
    TooSlow {
        /// The configured limit.
        max: std::time::Duration,
    },
    /// The compiler thread ended without a result.
    #[error("the compilation of component {digest} was aborted")]
    Aborted {
        /// Which component.
        digest: Digest,
    },
}

impl From<Error> for kiln_proto::Error {
    fn from(error: Error) -> Self {
        use kiln_proto::ErrorCode;
        let code = match &error {
            Error::TooLarge { .. } | Error::TooSlow { .. } => ErrorCode::LimitExceeded,
            Error::NotAComponent { .. } | Error::Invalid { .. } | Error::MissingImports { .. } => {
                ErrorCode::Invalid
            }
            Error::WrongDigest { .. } => ErrorCode::Corrupt,
            Error::Fetch { source, .. } => source.code,
            Error::Aborted { .. } | Error::Disk { .. } => ErrorCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}
