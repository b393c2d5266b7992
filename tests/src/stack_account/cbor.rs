//! CBOR from and to JSON, for the protocol rpc-v2-cbor. A timestamp is `{"$time": SECONDS}` when it is
//! written, and a number of seconds when it is read.

use jiff::Timestamp;
use minicbor::data::{Tag, Type};
use minicbor::{Decoder, Encoder};
use serde_json::{Map, Value, json};

/// A timestamp for [`encode`].
pub fn time(time: Timestamp) -> Value {
    json!({"$time": time.as_second()})
}

/// Encodes a value. Numbers with a fraction become 64-bit floats.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    write(&mut encoder, value);
    encoder.into_writer()
}

fn write(encoder: &mut Encoder<Vec<u8>>, value: &Value) {
    let written = match value {
        Value::Null => encoder.null().map(drop),
        Value::Bool(flag) => encoder.bool(*flag).map(drop),
        Value::String(text) => encoder.str(text).map(drop),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => encoder.i64(integer).map(drop),
            None => encoder.f64(number.as_f64().unwrap_or_default()).map(drop),
        },
        Value::Array(values) => {
            let written = encoder.array(values.len() as u64).map(drop);
            values.iter().for_each(|value| write(encoder, value));
            written
        }
        Value::Object(fields) => match fields.get("$time").and_then(Value::as_i64) {
            Some(seconds) => {
                encoder.tag(Tag::new(1)).and_then(|encoder| encoder.f64(seconds as f64)).map(drop)
            }
            None => {
                let written = encoder.map(fields.len() as u64).map(drop);
                for (name, value) in fields {
                    let _ = encoder.str(name);
                    write(encoder, value);
                }
                written
            }
        },
    };
    written.expect("a vector accepts every byte");
}

/// Decodes the body of a request. Panics if it is no CBOR.
pub fn decode(bytes: &[u8]) -> Value {
    read(&mut Decoder::new(bytes)).expect("the request is CBOR")
}

fn read(decoder: &mut Decoder<'_>) -> Result<Value, minicbor::decode::Error> {
    Ok(match decoder.datatype()? {
        Type::Null | Type::Undefined => {
            decoder.skip()?;
            Value::Null
        }
        Type::Bool => decoder.bool()?.into(),
        Type::String => decoder.str()?.into(),
        Type::StringIndef => decoder.str_iter()?.collect::<Result<String, _>>()?.into(),
        Type::F16 => decoder.f16()?.into(),
        Type::F32 => decoder.f32()?.into(),
        Type::F64 => decoder.f64()?.into(),
        Type::Tag => {
            decoder.tag()?;
            read(decoder)?
        }
        Type::Array | Type::ArrayIndef => {
            let length = decoder.array()?;
            let mut values = Vec::new();
            while !is_end(decoder, length, values.len())? {
                values.push(read(decoder)?);
            }
            values.into()
        }
        Type::Map | Type::MapIndef => {
            let length = decoder.map()?;
            let mut fields = Map::new();
            while !is_end(decoder, length, fields.len())? {
                let name = decoder.str()?.to_owned();
                fields.insert(name, read(decoder)?);
            }
            fields.into()
        }
        _ => decoder.i64()?.into(),
    })
}

/// True at the end of an array or a map with `length` entries, of which `count` were read.
fn is_end(
    decoder: &mut Decoder<'_>,
    length: Option<u64>,
    count: usize,
) -> Result<bool, minicbor::decode::Error> {
    match length {
        Some(length) => Ok(count as u64 == length),
        None if decoder.datatype()? == Type::Break => decoder.skip().map(|()| true),
        None => Ok(false),
    }
}
