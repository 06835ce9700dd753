//! What others say of one node: what it carries itself, and what the asker has from elsewhere.

use crate::{
    budget::STATEMENTS,
    error::VerifierError,
    session::Session,
    sources::{files_in, read_file},
};
use garant_attest::{
    budget::CARRIED_STATEMENT_BYTES,
    carried::{Carried, Kind},
    wire::Statements,
};
use std::path::PathBuf;

/// Statements, claimed all of them.
#[derive(Debug, Clone, Default)]
pub struct Collected(Vec<Vec<u8>>);

impl Collected {
    /// Reads files, and all files of folders. A file that is no statement is an error: whoever named it meant one.
    pub fn read(paths: &[PathBuf]) -> Result<Collected, VerifierError> {
        let mut collected = Collected::default();
        for path in paths {
            for file in files_in(path)? {
                let statement = read_file(&file, CARRIED_STATEMENT_BYTES)?;
                if Kind::of(&statement).is_none() {
                    return Err(VerifierError::NoStatement { path: file });
                }
                collected.add(statement)?;
            }
        }
        Ok(collected)
    }

    /// Asks the node for what it carries.
    pub async fn ask(&mut self, session: &mut Session) -> Result<(), VerifierError> {
        let bytes = session.statements().await?;
        let carried = Statements::decode(&bytes).map_err(VerifierError::Statements)?;
        carried.1.iter().try_for_each(|statement| self.add(statement.to_vec()))
    }

    /// Statements that were kept.
    pub fn of(statements: impl Iterator<Item = Vec<u8>>) -> Collected {
        Collected(statements.take(STATEMENTS).collect())
    }

    /// One more.
    pub fn add(&mut self, statement: Vec<u8>) -> Result<(), VerifierError> {
        if self.0.len() >= STATEMENTS {
            return Err(VerifierError::TooManyStatements { limit: STATEMENTS });
        }
        self.0.push(statement);
        Ok(())
    }

    /// All, as they came.
    pub fn all(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// All, by kind.
    pub fn carried(&self) -> Carried<'_> {
        Carried::sort(self.all())
    }
}
