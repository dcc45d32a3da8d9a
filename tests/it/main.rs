//! All integration tests: one binary, so that everything is linked once and one Kafka broker serves them all.
//! A file here that is no module of it fails the test `tidy::every_source_file_is_a_module`.

mod kafka_broker;
