//! What all messages have in common.

use std::borrow::Cow;

use serde::Serialize;

/// A message: it names its schema, first among its fields and in the header `sightline-schema`, and has a key: the id of
/// the camera it belongs to, mostly.
pub trait Message: Serialize {
    /// Name and number: "frame/1". A change that would break a reader gets a new number.
    const SCHEMA: &'static str;

    /// The key of the Kafka record.
    fn key(&self) -> Cow<'_, str>;
}

/// `message!(Type, "name/1", key field)`: the trait, and `Type::schema_name()` for who does not import it.
macro_rules! message {
    ($type:ty, $schema:literal, $key:ident) => {
        impl crate::Message for $type {
            const SCHEMA: &'static str = $schema;

            fn key(&self) -> std::borrow::Cow<'_, str> {
                std::borrow::Cow::Borrowed(&self.$key)
            }
        }

        impl $type {
            /// The value of the field `schema` and of the header `sightline-schema`.
            pub const fn schema_name() -> &'static str {
                $schema
            }
        }
    };
}
pub(crate) use message;
