//! Journal, options and positions, durable in sled or redb.
