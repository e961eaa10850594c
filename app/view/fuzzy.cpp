#include "view/fuzzy.h"

#include <algorithm>
#include <cctype>
#include <functional>
#include <utility>

namespace convscope {

namespace {

constexpr int for_a_letter = 1;
constexpr int for_following = 11;  // a run of letters is worth more than as many words
constexpr int for_a_word = 8;
constexpr int for_the_beginning = 4;
constexpr int nothing = -1;

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

bool begins_word(std::string_view text, std::size_t place) {
  return place == 0 || std::isalnum(static_cast<unsigned char>(text[place - 1])) == 0;
}

}  // namespace

int fuzzy_score(std::string_view pattern, std::string_view text) {
  // best[j]: the most for the pattern so far with its last letter at place j.
  std::vector<int> best;
  for (const char wanted : pattern) {
    if (wanted == ' ') continue;
    std::vector<int> next(text.size(), nothing);
    int best_before = best.empty() ? 0 : nothing;  // over all places left of j - 1
    for (std::size_t j = 0; j < text.size(); ++j) {
      const int adjacent = j > 0 && !best.empty() ? best[j - 1] : nothing;
      const int before = std::max(best_before, adjacent == nothing ? nothing : adjacent + for_following);
      if (lower(text[j]) == lower(wanted) && before != nothing) {
        next[j] = before + for_a_letter + (begins_word(text, j) ? for_a_word : 0) + (j == 0 ? for_the_beginning : 0);
      }
      best_before = std::max(best_before, adjacent);
    }
    best = std::move(next);
    if (std::ranges::count(best, nothing) == static_cast<std::ptrdiff_t>(best.size())) return 0;
  }
  return best.empty() ? 1 : 1 + std::ranges::max(best);
}

std::vector<std::size_t> fuzzy_matches(std::string_view pattern, const std::vector<std::string>& texts) {
  std::vector<std::pair<int, std::size_t>> found;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const int score = fuzzy_score(pattern, texts[i]);
    if (score > 0) found.emplace_back(score, i);
  }
  std::ranges::stable_sort(found, std::greater{}, &std::pair<int, std::size_t>::first);
  std::vector<std::size_t> places;
  for (const auto& [score, place] : found) places.push_back(place);
  return places;
}

}  // namespace convscope
