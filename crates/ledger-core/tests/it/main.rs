//! The rules against worked histories, generated ones, and the rows that neither reaches.

mod generated;
mod ledger;
mod properties;
mod reader;
mod rows;
mod scenarios;
mod shown;
mod speed;
