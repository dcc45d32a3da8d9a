//! The program as a user meets it: arguments in; output, messages and exit code out.

mod answers;
mod help;
mod manners;
mod process;
mod world;
