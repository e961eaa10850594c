#include "data/attention_matrices.h"

#include "core/errors.h"
#include "data/tensor_names.h"
#include "data/untrusted.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <set>

namespace convbasis {
namespace {

constexpr Index most_tokens = 16'384;
constexpr Index most_layers = 10'000;

using Files = std::vector<std::unique_ptr<TensorFile>>;

std::string described(const TensorInfo& tensor) { return fmt::format("{} {}", in_quotes(tensor.name), shape_text(tensor.shape)); }

/// Tensors that belong together: equal names but for the layer's number.
using Sets = std::map<std::string, std::vector<AttentionTensor>>;

/// The name with its first number taken out.
std::string without_number(const std::string& name) {
  const std::size_t begin = std::min(name.find_first_of("0123456789"), name.size());
  const std::size_t end = std::min(name.find_first_not_of("0123456789", begin), name.size());
  return name.substr(0, begin) + "#" + name.substr(end);
}

/// Reads the axes; throws when there is no way to.
void measure(AttentionTensor& found) {
  const std::vector<Index>& shape = found.tensor->shape;
  const auto fail = [&](const std::string& problem) {
    throw FileError(found.file->path().string(), fmt::format("tensor {} {}", described(*found.tensor), problem));
  };
  found.size = shape.back();
  if (found.size > most_tokens) {
    fail(fmt::format("holds attention of {} tokens; matrices of at most {} are read. Give queries and keys instead", found.size,
                     most_tokens));
  }
  if (found.tensor->bytes == 0) fail("is empty; expected at least one head");
  found.layout = shape.size() == 2 ? "nn" : shape.size() == 3 ? "hnn" : shape[0] == 1 ? "1hnn" : "lhnn";
  if (shape.size() > 2) found.heads = shape[shape.size() - 3];
  if (found.layout != "lhnn") return;
  if (found.layer) fail(fmt::format("holds {} sequences; save one: (1, heads, n, n)", shape[0]));
  if (shape[0] > most_layers) fail(fmt::format("has too many layers; at most {} are read", most_layers));
  found.layers = shape[0];
}

Sets sets_by_pattern(const Files& files, const std::string& pattern) {
  Sets sets;
  for (const auto& file : files) {
    for (const TensorInfo& tensor : file->tensors()) {
      const auto match = match_pattern(pattern, tensor.name);
      if (!match) continue;
      if (!is_square(tensor)) {
        throw FileError(
            file->path().string(),
            fmt::format("tensor {} of {} is no stack of attention matrices; expected a floating type and (heads, n, n), "
                        "(1, heads, n, n), (layers, heads, n, n) or (n, n)",
                        described(tensor), name_of(tensor.dtype)));
      }
      sets[""].push_back({file.get(), &tensor, match->layer, "taken by the name given"});
    }
  }
  if (sets.empty()) {
    throw FileError(files.front()->path().string(), fmt::format("has no tensor {} (given as attention)", in_quotes(pattern)));
  }
  return sets;
}

/// Every square tensor that is no parameter, or those among them whose names say attention.
Sets sets_by_shape(const Files& files, bool named_only) {
  Sets sets;
  for (const auto& file : files) {
    for (const TensorInfo& tensor : file->tensors()) {
      if (!is_square(tensor) || names_a_parameter(tensor.name) || parse_name(tensor.name)) continue;
      if (named_only && !names_attention(tensor.name)) continue;
      const auto layer = match_pattern(tensor.name, tensor.name)->layer;
      const std::string reason = named_only ? "its name says attention" : "no other tensor is square";
      sets[without_number(tensor.name)].push_back({file.get(), &tensor, layer, reason});
    }
  }
  return sets;
}

/// Two tensors of one set for one layer cannot both be meant.
void require_different_layers(const std::vector<AttentionTensor>& set) {
  std::map<Index, const AttentionTensor*> seen;
  for (const AttentionTensor& one : set) {
    const auto [other, is_new] = seen.emplace(one.layer.value_or(0), &one);
    if (is_new) continue;
    throw FileError(one.file->path().string(),
                    fmt::format("tensors {} and {} could both be the attention of layer {}; give the name of one",
                                described(*other->second->tensor), described(*one.tensor), other->first));
  }
}

/// Rows at which a matrix is looked at. The first is the most telling: all of it but one entry lies above the diagonal.
std::vector<Index> sampled_rows(Index n) {
  const std::set<Index> rows{0, n / 3, 2 * n / 3, n - 1};
  return {rows.begin(), rows.end()};
}

/// What one row looks like.
struct RowLook {
  bool in_range = true;  ///< all entries in [0, 1], but for rounding
  double sum = 0.0;      ///< of all entries
  double later = 0.0;    ///< of those above the diagonal
};

constexpr double tolerance = 0.02;  ///< bfloat16 rounds each entry by up to 1 in 256, all the same way at worst

RowLook look_at(const AttentionTensor& attention, const PayloadMatrix& place, Index row, const RunContext& context) {
  Matrix<double> values(1, attention.size);
  attention.file->read<double>(*attention.tensor, {place.first + row * place.row_stride, place.row_stride, place.column_stride},
                               mutable_view(values), context);
  RowLook look;
  for (Index column = 0; column < attention.size; ++column) {
    const double value = values(0, column);
    look.in_range = look.in_range && value >= 0.0 && value <= 1.0 + tolerance;
    look.sum += value;
    if (column > row) look.later += value;
  }
  return look;
}

/// Reads one head's matrix as scores.
template <Real T>
class FileScores : public ScoreMatrix<T> {
 public:
  FileScores(std::shared_ptr<const void> owner, const AttentionTensor& attention, Index layer_in_tensor, Index head,
             AttentionKind kind)
      : owner_(std::move(owner)),
        attention_(attention),
        head_(head),
        place_(attention.place(layer_in_tensor, head)),
        probabilities_(kind == AttentionKind::probabilities) {}

  Index size() const override { return attention_.size; }

  void read(Index row, Index column, MutableMatrixView<T> out) const override {
    const Index first = place_.first + row * place_.row_stride + column * place_.column_stride;
    attention_.file->read<T>(*attention_.tensor, {first, place_.row_stride, place_.column_stride}, out);
    for (Index x = 0; x < out.rows(); ++x) {
      const Index causal = std::clamp<Index>(row + x - column + 1, 0, out.cols());
      for (Index y = 0; y < causal; ++y) out(x, y) = to_score(out(x, y), row + x, column + y);
      out.row(x).tail(out.cols() - causal).setZero();
    }
  }

 private:
  T to_score(T value, Index row, Index column) const {
    constexpr auto masked = static_cast<T>(masked_score);
    if (probabilities_) {
      if (!(value >= T{0} && value <= static_cast<T>(1.0 + tolerance))) fail(value, row, column, "a probability");
      return value == T{0} ? masked : std::log(value);
    }
    if (!(value < std::numeric_limits<T>::infinity())) fail(value, row, column, "a number, or -inf");
    return std::max(value, masked);
  }

  [[noreturn]] void fail(T value, Index row, Index column, std::string_view expected) const {
    throw FileError(attention_.file->path().string(),
                    fmt::format("tensor {}, head {}, row {}, column {} is {}; expected {}", in_quotes(attention_.tensor->name),
                                head_, row, column, value, expected));
  }

  std::shared_ptr<const void> owner_;
  AttentionTensor attention_;
  Index head_;
  PayloadMatrix place_;
  bool probabilities_;
};

}  // namespace

std::string_view name_of(AttentionKind kind) { return kind == AttentionKind::probabilities ? "probabilities" : "scores"; }

std::optional<AttentionKind> attention_kind(std::string_view name) {
  for (const AttentionKind kind : {AttentionKind::probabilities, AttentionKind::scores}) {
    if (name == name_of(kind)) return kind;
  }
  return std::nullopt;
}

PayloadMatrix AttentionTensor::place(Index layer_in_tensor, Index head) const {
  const std::vector<Index> strides = tensor->strides();
  const std::size_t axes = strides.size();
  const Index head_stride = axes > 2 ? strides[axes - 3] : 0;
  const Index layer_stride = axes > 3 ? strides[0] : 0;
  return {layer_in_tensor * layer_stride + head * head_stride, strides[axes - 2], strides[axes - 1]};
}

bool is_square(const TensorInfo& tensor) {
  const std::size_t axes = tensor.shape.size();
  return is_floating(tensor.dtype) && axes >= 2 && axes <= 4 && tensor.shape[axes - 1] == tensor.shape[axes - 2] &&
         tensor.shape[axes - 1] >= 2;
}

std::vector<AttentionTensor> find_attention(const Files& files, const std::optional<std::string>& name) {
  Sets sets = name ? sets_by_pattern(files, *name) : sets_by_shape(files, true);
  if (sets.empty()) sets = sets_by_shape(files, false);
  if (sets.empty()) return {};
  if (sets.size() > 1) {
    const auto& one = sets.begin()->second.front();
    const auto& other = std::next(sets.begin())->second.front();
    throw FileError(one.file->path().string(),
                    fmt::format("tensors {} and {} could both be attention matrices; give the name of one",
                                described(*one.tensor), described(*other.tensor)));
  }
  std::vector<AttentionTensor>& found = sets.begin()->second;
  require_different_layers(found);
  for (AttentionTensor& one : found) measure(one);
  return found;
}

AttentionKind tell_kind(const AttentionTensor& attention, std::optional<AttentionKind> settled, std::string& why,
                        const RunContext& context) {
  if (settled == AttentionKind::scores) {
    why = "taken for scores, as given";
    return *settled;
  }
  bool in_range = true;
  bool sums_to_one = true;
  bool some_attended = false;
  double most_later = 0.0;
  Index looked_at = 0;
  for (const Index head : std::set<Index>{0, attention.heads - 1}) {
    for (const Index row : sampled_rows(attention.size)) {
      const RowLook look = look_at(attention, attention.place(0, head), row, context);
      ++looked_at;
      in_range = in_range && look.in_range;
      sums_to_one = sums_to_one && (std::abs(look.sum - 1.0) <= tolerance || look.sum == 0.0);
      some_attended = some_attended || look.sum != 0.0;
      most_later = std::max(most_later, look.later);
    }
  }
  if (!settled && !(in_range && sums_to_one && some_attended)) {
    why = fmt::format("taken for scores: in {} rows looked at, not all entries lie in [0, 1] and sum to 1", looked_at);
    return AttentionKind::scores;
  }
  if (most_later > tolerance) {
    throw FileError(
        attention.file->path().string(),
        fmt::format("tensor {} holds probabilities that are not causal: a row gives {:.3g} to tokens after it; expected "
                    "attention of a decoder, zero above the diagonal",
                    described(*attention.tensor), most_later));
  }
  why = settled ? "taken for probabilities, as given"
                : fmt::format("taken for probabilities: in {} rows looked at, all entries lie in [0, 1] and sum to 1", looked_at);
  return AttentionKind::probabilities;
}

template <Real T>
std::shared_ptr<const ScoreMatrix<T>> open_scores(std::shared_ptr<const void> owner, const AttentionTensor& attention,
                                                  Index layer_in_tensor, Index head, AttentionKind kind) {
  return std::make_shared<const FileScores<T>>(std::move(owner), attention, layer_in_tensor, head, kind);
}

template std::shared_ptr<const ScoreMatrix<float>> open_scores(std::shared_ptr<const void>, const AttentionTensor&, Index, Index,
                                                               AttentionKind);
template std::shared_ptr<const ScoreMatrix<double>> open_scores(std::shared_ptr<const void>, const AttentionTensor&, Index, Index,
                                                                AttentionKind);

}  // namespace convbasis
