/// \file
/// The pickle inside a PyTorch file, read as data. A pickle is a program for a small stack machine that may call anything; this
/// reader builds a tree from the few instructions that dicts, lists and tensors need, knows six names and calls none of them.
/// Everything else is refused with its name. The instructions are those torch/_weights_only_unpickler.py accepts for tensors.
#pragma once

#include "data/dtype.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace convbasis {

/// A storage as the pickle names it: `count` elements in the archive's entry data/KEY.
struct PickledStorage {
  DType dtype = DType::f32;
  std::string key;
  std::int64_t count = 0;
};

/// A tensor as the pickle describes it. Nothing is checked but the kinds: numbers may be negative, or too large.
struct PickledTensor {
  std::size_t storage = 0;  ///< in Pickle::storages
  std::int64_t offset = 0;  ///< of the first element in its storage
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;  ///< as many as axes, in elements
};

enum class PickledKind : std::uint8_t { none, boolean, integer, real, text, tuple, list, dict, callable, storage, tensor };
std::string_view name_of(PickledKind kind);

/// A node of the tree. Nodes may have several parents, and lists and dicts may even hold themselves: bound every walk.
struct PickledValue {
  PickledKind kind = PickledKind::none;
  std::int64_t integer = 0;  ///< of integers and booleans; the position in Pickle::storages or ::tensors
  double real = 0.0;
  std::string text;                  ///< of texts; "module.name" of callables
  std::vector<std::uint32_t> items;  ///< positions in Pickle::values; of dicts: key, value, key, value, ...
};

struct Pickle {
  std::vector<PickledValue> values;
  std::vector<PickledStorage> storages;
  std::vector<PickledTensor> tensors;
  std::uint32_t root = 0;
};

/// Reads a whole pickle of protocol 2. Throws FileError, beginning with `name`, for any instruction or callable that plain
/// tensors do not need (with its name), operands of the wrong kind, and beyond 2,000,000 values, remembered values or values on
/// the stack, texts of 1 MiB and 100,000 tensors. Cost: linear in the bytes.
Pickle read_pickle(std::string_view bytes, const std::string& name);

}  // namespace convbasis
