/// Why a value from outside was refused: it isn't what was expected.
///
/// It says what would have been right and never repeats what came, which may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct Expected(pub &'static str);
