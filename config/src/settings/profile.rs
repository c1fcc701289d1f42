//! Which defaults a daemon begins with.

/// Defaults for a purpose. What is set anywhere else wins over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// For one person's machine.
    #[default]
    Standard,
    /// For work on programs that ask tandem.
    Dev,
    /// As production, with more in the logs.
    Staging,
    /// For a server.
    Production,
    /// For pupils and their teachers.
    Education,
}
