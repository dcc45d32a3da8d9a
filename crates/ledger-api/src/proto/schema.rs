//! The descriptors as tables: messages with their fields by name, enums, the methods of the service.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    MessageOptions,
};

/// The descriptors of `proto/`, encoded.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The service that answers questions.
pub(crate) const SERVICE: &str = "realmledger.v1.LedgerService";

/// All messages and methods.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    messages: Vec<Message>,
    enums: Vec<EnumWords>,
    methods: Vec<Method>,
}

/// A message.
#[derive(Debug)]
pub(crate) struct Message {
    /// With its package.
    pub(crate) name: String,
    pub(crate) comment: String,
    /// By name in JSON.
    fields: Vec<Field>,
}

/// A field of a message.
#[derive(Debug)]
pub(crate) struct Field {
    /// In JSON.
    pub(crate) name: String,
    pub(crate) comment: String,
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    pub(crate) is_repeated: bool,
    /// That it is absent can be told from its default.
    pub(crate) has_presence: bool,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Double,
    Signed,
    Unsigned,
    Text,
    /// One of these words.
    Enum(usize),
    Message(usize),
    /// `google.protobuf.Timestamp`
    Instant,
    /// `google.protobuf.Value`, or `google.protobuf.Struct`.
    Json {
        is_object: bool,
    },
    /// Of texts to texts.
    Map,
}

/// The words of an enum.
#[derive(Debug)]
pub(crate) struct EnumWords {
    words: Vec<(String, i32)>,
}

/// A method of the service.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) name: String,
    pub(crate) comment: String,
    input: usize,
    output: usize,
    /// Answers with a stream of messages.
    pub(crate) is_stream: bool,
}

/// The schema of `proto/`.
pub(crate) fn schema() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::read);
    &SCHEMA
}

impl Message {
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        let at = self.fields.binary_search_by(|field| field.name.as_str().cmp(name)).ok()?;
        Some(&self.fields[at])
    }

    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }
}

impl EnumWords {
    pub(crate) fn number(&self, word: &str) -> Option<i32> {
        self.words.iter().find(|(of, _)| of == word).map(|(_, number)| *number)
    }

    pub(crate) fn word(&self, number: i64) -> Option<&str> {
        self.words.iter().find(|(_, of)| i64::from(*of) == number).map(|(word, _)| word.as_str())
    }

    /// Those that stand for something: one that is unspecified counts as absent.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(|(word, _)| word.as_str()).filter(|word| *word != UNSPECIFIED)
    }
}

/// The word that counts as absent.
pub(crate) const UNSPECIFIED: &str = "UNSPECIFIED";

impl Schema {
    pub(crate) fn message(&self, at: usize) -> &Message {
        &self.messages[at]
    }

    pub(crate) fn message_named(&self, name: &str) -> Option<&Message> {
        self.messages.iter().find(|message| message.name == name)
    }

    pub(crate) fn words(&self, at: usize) -> &EnumWords {
        &self.enums[at]
    }

    pub(crate) fn method(&self, name: &str) -> Option<&Method> {
        self.methods.iter().find(|method| method.name == name)
    }

    pub(crate) fn input(&self, method: &Method) -> &Message {
        self.message(method.input)
    }

    pub(crate) fn output(&self, method: &Method) -> &Message {
        self.message(method.output)
    }

    #[expect(clippy::expect_used, reason = "the bytes are those that the build wrote; every test reads them")]
    fn read() -> Self {
        let files = FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors of this build").file;
        let mut found = FoundDescriptors::default();
        for file in &files {
            found.look_through(file);
        }
        let mut schema = Self::default();
        let mut places = HashMap::new();
        for (name, words) in &found.enums {
            places.insert(name.clone(), schema.enums.len());
            let words = words.value.iter().map(|value| (value.name().to_owned(), value.number()));
            schema.enums.push(EnumWords { words: words.collect() });
        }
        places.extend(found.messages.iter().enumerate().map(|(at, found)| (found.name.clone(), at)));
        for message in &found.messages {
            let fields = message.of.field.iter().enumerate();
            let mut fields: Vec<_> =
                fields.map(|(at, field)| found.field(message, at, field, &places)).collect();
            fields.sort_by(|one, other| one.name.cmp(&other.name));
            let (name, comment) = (message.name.clone(), found.comment(message.file, &message.path));
            schema.messages.push(Message { name, comment, fields });
        }
        let services = files.iter().enumerate().filter(|(_, file)| !file.service.is_empty());
        for (file_at, file) in services {
            for (at, method) in file.service[0].method.iter().enumerate() {
                let place = |name: &str| places[name.trim_start_matches('.')];
                schema.methods.push(Method {
                    name: method.name().to_owned(),
                    comment: found.comment(file_at, &[6, 0, 2, index(at)]),
                    input: place(method.input_type()),
                    output: place(method.output_type()),
                    is_stream: method.server_streaming(),
                });
            }
        }
        schema
    }
}

/// What the files hold, before names are places.
#[derive(Default)]
struct FoundDescriptors<'f> {
    files: usize,
    messages: Vec<FoundMessage<'f>>,
    enums: Vec<(String, &'f EnumDescriptorProto)>,
    /// By file and path.
    comments: HashMap<(usize, Vec<i32>), &'f str>,
}

struct FoundMessage<'f> {
    name: String,
    of: &'f DescriptorProto,
    file: usize,
    path: Vec<i32>,
}

fn index(at: usize) -> i32 {
    i32::try_from(at).unwrap_or(i32::MAX)
}

impl<'f> FoundDescriptors<'f> {
    fn look_through(&mut self, file: &'f FileDescriptorProto) {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        for location in locations {
            self.comments.insert((self.files, location.path.clone()), location.leading_comments());
        }
        for of in &file.enum_type {
            self.enums.push((format!("{}.{}", file.package(), of.name()), of));
        }
        for (at, message) in file.message_type.iter().enumerate() {
            self.take(file.package(), message, vec![4, index(at)]);
        }
        self.files += 1;
    }

    fn take(&mut self, within: &str, of: &'f DescriptorProto, path: Vec<i32>) {
        let name = format!("{within}.{}", of.name());
        for words in &of.enum_type {
            self.enums.push((format!("{name}.{}", words.name()), words));
        }
        for (at, nested) in of.nested_type.iter().enumerate() {
            self.take(&name, nested, [&path[..], &[3, index(at)]].concat());
        }
        self.messages.push(FoundMessage { name, of, file: self.files, path });
    }

    /// The comment of what has this path, on one line.
    fn comment(&self, file: usize, path: &[i32]) -> String {
        let comment = self.comments.get(&(file, path.to_vec())).copied().unwrap_or_default();
        comment.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
    }

    fn field(
        &self,
        message: &FoundMessage<'_>,
        at: usize,
        field: &FieldDescriptorProto,
        places: &HashMap<String, usize>,
    ) -> Field {
        let type_name = field.type_name().trim_start_matches('.');
        let place = places.get(type_name).copied().unwrap_or(usize::MAX);
        let is_map = self.messages.get(place).is_some_and(|entry| {
            field.r#type() == Type::Message
                && entry.of.options.as_ref().is_some_and(MessageOptions::map_entry)
        });
        let kind = match (field.r#type(), type_name) {
            _ if is_map => Kind::Map,
            (Type::Message, "google.protobuf.Timestamp") => Kind::Instant,
            (Type::Message, "google.protobuf.Value") => Kind::Json { is_object: false },
            (Type::Message, "google.protobuf.Struct") => Kind::Json { is_object: true },
            (Type::Message, _) => Kind::Message(place),
            (Type::Enum, _) => Kind::Enum(place),
            (Type::Bool, _) => Kind::Bool,
            (Type::Double, _) => Kind::Double,
            (Type::Int32 | Type::Int64, _) => Kind::Signed,
            (Type::Uint32 | Type::Uint64, _) => Kind::Unsigned,
            _ => Kind::Text,
        };
        Field {
            name: field.json_name().to_owned(),
            comment: self.comment(message.file, &[&message.path[..], &[2, index(at)]].concat()),
            number: u32::try_from(field.number()).unwrap_or_default(),
            kind,
            is_repeated: field.label() == Label::Repeated,
            has_presence: field.r#type() == Type::Message || field.oneof_index.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_has_messages_enums_methods_and_their_comments() {
        let schema = schema();
        let method = schema.method("GetInstallation").unwrap();
        assert!(!method.is_stream && method.comment.starts_with("One installation"), "{method:?}");
        assert_eq!(schema.output(method).name, "realmledger.v1.GetInstallationResponse");
        let state = schema.message_named("realmledger.v1.Installation").unwrap();
        let status = state.field("status").unwrap();
        let Kind::Enum(words) = status.kind else { panic!("{status:?}") };
        assert_eq!(schema.words(words).word(1), Some("INSTALLED"));
        assert!(!status.has_presence && state.field("pinnedRealm").unwrap().has_presence);
        assert!(!state.field("pinnedRealm").unwrap().comment.is_empty());
        let descriptor = schema.message_named("realmledger.v1.Descriptor").unwrap();
        assert_eq!(descriptor.field("regionBaseUrls").unwrap().kind, Kind::Map);
        assert!(schema.methods.iter().filter(|method| method.is_stream).count() >= 3);
    }
}
