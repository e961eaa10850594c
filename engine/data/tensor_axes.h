/// \file
/// What the axes of Q, K and V mean, and where one head lies in a tensor.
#pragma once

#include "data/tensor_file.h"

#include <optional>
#include <string>
#include <string_view>

namespace convbasis {

/// The three tensors of one layer (or of all layers, when the layers are an axis), from one or several files.
struct TensorTrio {
  const TensorInfo* query = nullptr;
  const TensorInfo* key = nullptr;
  const TensorInfo* value = nullptr;
};

/// What is known besides the shapes.
struct AxesHints {
  std::optional<std::string> layout;  ///< settled by the user
  std::optional<Index> heads;         ///< settled by the user
  std::optional<Index> tokens;        ///< the length of the file's token list
  bool exported = false;              ///< named as this program's exporter does: (heads, tokens, width) by definition
  bool numbered = false;              ///< the names say which layer it is
};

/// How the three shapes were read. A layout has one character an axis: 1 a batch of one, l layers, h heads, n tokens, d width;
/// "(hd)" is one axis that holds the heads one after the other.
struct AxesReading {
  std::string layout;
  std::string reason;  ///< half a sentence: why
  Index layers = 1;    ///< above 1 only for the layout "lhnd"
  Index heads = 0;
  Index kv_heads = 0;
  Index size = 0;
  Index width = 0;
  Index value_width = 0;
};

/// Reads the shapes. Throws FileError, starting with `path`, when no reading fits; InvalidArgument for hints that cannot be.
AxesReading read_axes(const std::string& path, const TensorTrio& trio, const AxesHints& hints);

/// Where head `head` (of width `width`) of layer `layer` lies in a tensor that was read as `layout`: one row a token.
PayloadMatrix locate_head(const TensorInfo& tensor, std::string_view layout, Index layer, Index head, Index width);

}  // namespace convbasis
