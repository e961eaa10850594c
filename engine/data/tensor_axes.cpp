#include "data/tensor_axes.h"

#include "core/errors.h"
#include "data/untrusted.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

namespace convbasis {
namespace {

constexpr std::array<std::string_view, 8> layouts{"hnd", "1hnd", "nhd", "1nhd", "lhnd", "nd", "n(hd)", "1n(hd)"};

/// No model has more; a sparse file could claim billions.
constexpr Index most_layers = 10'000;

/// Positions of the axes of a layout; -1 where it has none.
struct Axes {
  int layer = -1;
  int head = -1;
  int token = -1;
  int width = -1;
  int count = 0;
  bool joined = false;  ///< the width axis holds all heads
};

Axes axes_of(std::string_view layout) {
  Axes axes;
  axes.joined = layout.find("(hd)") != std::string_view::npos;
  for (const char c : layout) {
    if (c == '(' || c == ')' || (c == 'h' && axes.joined)) continue;
    if (c == 'l') axes.layer = axes.count;
    if (c == 'h') axes.head = axes.count;
    if (c == 'n') axes.token = axes.count;
    if (c == 'd') axes.width = axes.count;
    ++axes.count;
  }
  return axes;
}

Index axis(const TensorInfo& tensor, int position) { return tensor.shape[static_cast<std::size_t>(position)]; }

std::string described(const TensorInfo& tensor) { return fmt::format("{} {}", in_quotes(tensor.name), shape_text(tensor.shape)); }

/// Reads the shapes of one trio of tensors; keeps what every step needs.
class AxesReader {
 public:
  AxesReader(const std::string& path, const TensorTrio& trio, const AxesHints& hints)
      : path_(path), query_(*trio.query), key_(*trio.key), value_(*trio.value), hints_(hints) {}

  AxesReading read() {
    require_same_rank();
    choose_layout();
    axes_ = axes_of(reading_.layout);
    if (static_cast<int>(query_.shape.size()) != axes_.count) {
      fail(fmt::format("tensor {} cannot be read as layout \"{}\"", described(query_), reading_.layout));
    }
    measure();
    return std::move(reading_);
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const { throw FileError(path_, problem); }

  [[noreturn]] void do_not_fit(const TensorInfo& a, const TensorInfo& b, const std::string& why) const {
    fail(fmt::format("tensors {} and {} do not fit each other as \"{}\": {}", described(a), described(b), reading_.layout, why));
  }

  void require_same_rank() const {
    for (const TensorInfo* other : {&key_, &value_}) {
      if (other->shape.size() == query_.shape.size()) continue;
      fail(fmt::format("tensors {} and {} do not fit each other: expected the same number of axes", described(query_),
                       described(*other)));
    }
  }

  void choose(std::string_view layout, std::string reason) {
    reading_.layout = layout;
    reading_.reason = std::move(reason);
  }

  void choose_layout() {
    if (hints_.layout) {
      if (std::find(layouts.begin(), layouts.end(), *hints_.layout) == layouts.end()) {
        throw InvalidArgument(
            fmt::format("layout {} is not known; the layouts are {}", in_quotes(*hints_.layout), fmt::join(layouts, ", ")));
      }
      return choose(*hints_.layout, "the layout was given");
    }
    const bool batch_of_one = !query_.shape.empty() && axis(query_, 0) == 1 && axis(key_, 0) == 1 && axis(value_, 0) == 1;
    switch (query_.shape.size()) {
      case 2:
        return choose_two(0);
      case 3:
        if (batch_of_one && (hints_.heads.value_or(1) > 1 || axis(query_, 2) != axis(key_, 2))) return choose_two(1);
        return choose_three(0);
      case 4:
        if (batch_of_one) return choose_three(1);
        if (!hints_.numbered) return choose("lhnd", "four axes and no layer number in the names: layers, heads, tokens, width");
        fail(
            fmt::format("tensor {} holds {} sequences; save one: (1, heads, tokens, width)", described(query_), axis(query_, 0)));
      default:
        fail(fmt::format("tensor {} has {} axes; expected 2 to 4, such as (heads, tokens, width)", described(query_),
                         query_.shape.size()));
    }
  }

  /// Two axes that matter, from `first` on: tokens, then the width of one head or of all.
  void choose_two(int first) {
    if (hints_.heads.value_or(1) > 1)
      return choose(first == 0 ? "n(hd)" : "1n(hd)", "two axes and a head count: tokens, heads times width");
    if (axis(query_, first + 1) != axis(key_, first + 1)) {
      fail(fmt::format("tensors {} and {} hold several heads in one axis; give the number of query heads", described(query_),
                       described(key_)));
    }
    choose("nd", "two axes and no head count: one head, tokens by width");
  }

  /// Three axes that matter, from `first` on: are the heads or the tokens first?
  void choose_three(int first) {
    const std::string_view heads_first = first == 0 ? "hnd" : "1hnd";
    const std::string_view tokens_first = first == 0 ? "nhd" : "1nhd";
    const Index a = axis(query_, first);
    const Index b = axis(query_, first + 1);
    if (hints_.exported) return choose(heads_first, "named layers.{L}.q, k, v: heads, tokens, width");
    if (hints_.tokens && a != b && (*hints_.tokens == a || *hints_.tokens == b)) {
      return choose(*hints_.tokens == b ? heads_first : tokens_first, fmt::format("the file lists {} tokens", *hints_.tokens));
    }
    const bool heads_first_fits = fits(first, first + 1);
    if (heads_first_fits != fits(first + 1, first)) {
      return choose(heads_first_fits ? heads_first : tokens_first, "the only order in which query, key and value fit each other");
    }
    choose(a <= b ? heads_first : tokens_first, fmt::format("of {} and {}, the longer axis is taken for the tokens", a, b));
  }

  bool fits(int head, int token) const {
    return axis(query_, token) == axis(key_, token) && axis(query_, token) == axis(value_, token) &&
           axis(key_, head) == axis(value_, head) && axis(key_, head) > 0 && axis(query_, head) % axis(key_, head) == 0;
  }

  void measure() {
    for (const TensorInfo* tensor : {&query_, &key_, &value_}) {
      if (tensor->element_count() == 0) fail(fmt::format("tensor {} is empty; expected at least one token", described(*tensor)));
    }
    reading_.size = axis(query_, axes_.token);
    for (const TensorInfo* other : {&key_, &value_}) {
      if (axis(*other, axes_.token) == reading_.size) continue;
      do_not_fit(query_, *other, fmt::format("{} and {} tokens", reading_.size, axis(*other, axes_.token)));
    }
    if (axes_.layer >= 0) {
      reading_.layers = axis(query_, axes_.layer);
      if (reading_.layers > most_layers)
        fail(fmt::format("tensor {} has too many layers; at most {} are read", described(query_), most_layers));
      for (const TensorInfo* other : {&key_, &value_}) {
        if (axis(*other, axes_.layer) == reading_.layers) continue;
        do_not_fit(query_, *other, fmt::format("{} and {} layers", reading_.layers, axis(*other, axes_.layer)));
      }
    }
    if (reading_.layout.starts_with('1') && (axis(query_, 0) != 1 || axis(key_, 0) != 1 || axis(value_, 0) != 1)) {
      fail(fmt::format("tensor {} cannot be read as \"{}\": its first axis is not 1", described(query_), reading_.layout));
    }
    if (axes_.joined) {
      measure_joined();
    } else {
      measure_separate();
    }
  }

  void measure_separate() {
    reading_.heads = axes_.head < 0 ? 1 : axis(query_, axes_.head);
    reading_.kv_heads = axes_.head < 0 ? 1 : axis(key_, axes_.head);
    reading_.width = axis(query_, axes_.width);
    reading_.value_width = axis(value_, axes_.width);
    if (axis(key_, axes_.width) != reading_.width) {
      do_not_fit(query_, key_, fmt::format("widths {} and {}", reading_.width, axis(key_, axes_.width)));
    }
    const Index value_heads = axes_.head < 0 ? 1 : axis(value_, axes_.head);
    if (value_heads != reading_.kv_heads)
      do_not_fit(key_, value_, fmt::format("{} and {} heads", reading_.kv_heads, value_heads));
    require_grouped();
    if (hints_.heads && *hints_.heads != reading_.heads) {
      fail(fmt::format("tensor {} has {} heads, but {} were given", described(query_), reading_.heads, *hints_.heads));
    }
  }

  void measure_joined() {
    if (!hints_.heads || *hints_.heads < 1) {
      fail(fmt::format("tensor {} holds its heads in one axis; give the number of query heads, at least 1", described(query_)));
    }
    reading_.heads = *hints_.heads;
    const auto split = [&](const TensorInfo& tensor, Index parts, const char* what) {
      if (axis(tensor, axes_.width) % parts == 0) return axis(tensor, axes_.width) / parts;
      fail(fmt::format("the last axis of tensor {} cannot be cut into {} {}", described(tensor), parts, what));
    };
    reading_.width = split(query_, reading_.heads, "heads");
    reading_.kv_heads = split(key_, reading_.width, "columns for each head");
    reading_.value_width = split(value_, reading_.kv_heads, "heads");
    require_grouped();
  }

  void require_grouped() const {
    if (reading_.heads % reading_.kv_heads == 0) return;
    do_not_fit(query_, key_, fmt::format("{} query heads are no multiple of {} key heads", reading_.heads, reading_.kv_heads));
  }

  const std::string& path_;
  const TensorInfo& query_;
  const TensorInfo& key_;
  const TensorInfo& value_;
  const AxesHints& hints_;
  Axes axes_;
  AxesReading reading_;
};

}  // namespace

AxesReading read_axes(const std::string& path, const TensorTrio& trio, const AxesHints& hints) {
  return AxesReader(path, trio, hints).read();
}

PayloadMatrix locate_head(const TensorInfo& tensor, std::string_view layout, Index layer, Index head, Index width) {
  const Axes axes = axes_of(layout);
  const std::vector<Index> strides = tensor.strides();
  const auto stride = [&](int position) { return position < 0 ? 0 : strides[static_cast<std::size_t>(position)]; };
  const Index head_distance = axes.joined ? width * stride(axes.width) : stride(axes.head);
  return {layer * stride(axes.layer) + head * head_distance, stride(axes.token), stride(axes.width)};
}

}  // namespace convbasis
