/// \file
/// A few words that choose rows of a table: "layer 3", "error<0.2 sink>50%".
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace convscope {

/// A name that a filter may use, and the column of values it stands for. Several names may stand for one column.
struct FilterName {
  std::string_view name;
  std::size_t column = 0;
};

/// A word that stands for a value of a column: "rank one". Lower case; may contain spaces.
struct FilterWord {
  std::string_view text;
  std::size_t column = 0;
  double value = 0.0;
};

/// Conditions that must all hold. A condition is a name, a comparison (<, <=, >, >=, =, !=; none means =) and a number, which may
/// end in %, or a word of the column; or a name and a range of numbers, "layer 3-5", both ends included. Spaces, commas and the
/// word "and" separate conditions; upper and lower case are the same.
class RowFilter {
 public:
  /// True when every condition holds for the values of a row, by column. A NaN, a value that is not known, fulfils none.
  bool matches(std::span<const double> values) const;
  bool empty() const { return conditions_.empty(); }

 private:
  friend struct ParsedFilter parse_filter(std::string_view text, std::span<const FilterName> names,
                                          std::span<const FilterWord> words);
  enum class Comparison { less, less_or_equal, greater, greater_or_equal, equal, different, between };
  struct Condition {
    std::size_t column = 0;
    Comparison comparison = Comparison::equal;
    double number = 0.0;
    double last = 0.0;  ///< of `between`
    bool holds(double value) const;
  };
  std::vector<Condition> conditions_;
};

struct ParsedFilter {
  RowFilter filter;     ///< without conditions when there is a problem
  std::string problem;  ///< what is wrong and what would be right, one line; empty when nothing is
};

/// Never throws for bad text. Names are lower-case letters; the problem lists the first name of each column. Of several
/// `words` that fit the longest is taken.
ParsedFilter parse_filter(std::string_view text, std::span<const FilterName> names, std::span<const FilterWord> words = {});

}  // namespace convscope
