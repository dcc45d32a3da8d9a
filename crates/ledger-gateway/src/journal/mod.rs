//! Events on disk, in order, until they are where they are to go.
