# Writes OUTPUT, a source file with the bytes of the FILES as arrays named NAMES: the program then starts without any file beside it.
# Run with cmake -D FILES=a.ttf;b.ttf -D NAMES=a;b -D OUTPUT=fonts.cpp -P embed_fonts.cmake
set(source "#include \"window/font_data.h\"\n\nnamespace convscope {\n")
foreach(file name IN ZIP_LISTS FILES NAMES)
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(APPEND source "namespace {\nconstexpr unsigned char ${name}_bytes[] = {${bytes}};\n}\nconst std::span<const unsigned char> ${name}(${name}_bytes);\n")
endforeach()
file(WRITE ${OUTPUT} "${source}}  // namespace convscope\n")
