/// \file
/// Finding a command by some of its letters.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace convscope {

/// How well the letters of `pattern` are found in `text`, in that order, with others between them allowed: 0 when they are not,
/// else at least 1, more for letters that follow each other or begin a word. Upper and lower case are alike, blanks in the
/// pattern do not count. An empty pattern fits everything. Cost O(pattern x text).
int fuzzy_score(std::string_view pattern, std::string_view text);

/// The places of the texts that fit, best first, equal ones in their old order.
std::vector<std::size_t> fuzzy_matches(std::string_view pattern, const std::vector<std::string>& texts);

}  // namespace convscope
